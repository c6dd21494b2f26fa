"""The constellation head: two sets of centres, one set of displacements."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from longtail.errors import ConfigError
from longtail.models import ConstellationHead


def head(**options: float) -> ConstellationHead:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return ConstellationHead(6, 4, **options)  # type: ignore[arg-type]


def moved() -> ConstellationHead:
    made = head()
    with torch.no_grad():
        made.displacements.normal_(generator=torch.Generator().manual_seed(1))
    return made


def rows() -> Tensor:
    return torch.randn(5, 6, generator=torch.Generator().manual_seed(2))


def reached(made: ConstellationHead, out: Tensor) -> set[str]:
    out.square().sum().backward()
    return {n for n, p in made.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


def test_who_learns_from_which_rows() -> None:
    made = moved()
    assert reached(made, made(rows())) == {"weight", "log_scale"}
    made = moved()
    own = {"random", "displacements", "random_log_scale"}
    assert reached(made, made.random_logits(rows())) == own


def test_starts_as_a_cosine_head_of_positive_scale() -> None:
    made = head()
    assert (made.displacements == 0).all()
    assert made.displacements.shape == (4, 6)
    assert float(made.log_scale.detach().exp()) == pytest.approx(16)
    assert made.scale == 16.0
    np.testing.assert_allclose(made.weight.detach().norm(dim=1), 1, rtol=1e-6)
    assert not torch.equal(made.weight, made.random)


def test_logits_are_the_nearest_points() -> None:
    made, h = moved(), rows().numpy()
    for got, centres in ((made(rows()), made.weight), (made.random_logits(rows()), made.random)):
        w, d = centres.detach().numpy(), made.displacements.detach().numpy()
        points = [w, *(w + move for move in d)]
        unit = h / np.linalg.norm(h, axis=1, keepdims=True)
        each = [unit @ (p / np.linalg.norm(p, axis=1, keepdims=True)).T for p in points]
        np.testing.assert_allclose(got.detach().numpy(), 16 * np.max(each, 0), rtol=1e-4, atol=1e-5)


def test_half_precision_is_widened() -> None:
    made = moved()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = made(rows())
    assert out.dtype == torch.float32
    assert torch.equal(out, made(rows()))
    assert torch.isfinite(made((1e4 * rows()).half())).all()


def test_refuses_what_makes_no_constellation() -> None:
    for options in ({"displacements": 0}, {"scale": -1.0}, {"scale": float("inf")}):
        with pytest.raises(ConfigError) as caught:
            head(**options)
        assert len(str(caught.value).splitlines()) == 2
