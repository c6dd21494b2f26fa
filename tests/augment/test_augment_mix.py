"""Mixing of rows and labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from longtail.augment import Mixup
from longtail.augment.mix import mix_rows
from longtail.errors import ConfigError, DataError
from longtail.types import Batch


def batch_of(x: torch.Tensor, y: torch.Tensor) -> Batch:
    return Batch((x,), y, torch.arange(len(y)))


def random_batch(rows: int = 6) -> Batch:
    return batch_of(torch.rand(rows, 2, 3, 3), torch.arange(rows) % 4)


def test_recorded_numbers(golden: Callable[[str], Any]) -> None:
    for case in golden("mixup"):
        x = torch.tensor(case["inputs"]["x"], dtype=torch.float64)
        y, perm = (torch.tensor(case["inputs"][k]) for k in ("target", "perm"))
        lam = case["params"]["lam"]
        out = mix_rows(batch_of(x, y), perm, lam)
        np.testing.assert_allclose(out.views[0].numpy(), case["outputs"]["mixed"], atol=1e-12)
        logits = out.views[0]
        loss = sum(
            (w * torch.nn.functional.cross_entropy(logits, t, reduction="none")).mean()
            for t, w in out.mixed
        )
        assert float(loss) == pytest.approx(case["outputs"]["loss_with_identity_model"], abs=1e-7)


def test_worked_number_of_the_specification() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0]])
    losses = [torch.nn.functional.cross_entropy(logits, torch.tensor([y])) for y in (0, 2)]
    assert float(0.3 * losses[0] + 0.7 * losses[1]) == pytest.approx(1.807606, abs=1e-6)


def test_uniform_alpha_mixes_by_the_draw() -> None:
    batch = random_batch()
    kept = batch.views[0].clone()
    u = torch.tensor([[0.5], [0.1], [0.9], [0.3], [0.7], [0.2]])
    out = Mixup(alpha=1.0)(batch, u, torch.tensor([0.3], dtype=torch.float64))
    perm = [1, 5, 3, 0, 4, 2]
    x = kept.numpy()
    np.testing.assert_allclose(out.views[0].numpy(), 0.3 * x + 0.7 * x[perm], atol=1e-6)
    (a, wa), (b, wb) = out.mixed
    assert torch.equal(a, batch.target)
    assert torch.equal(b, batch.target[perm])
    np.testing.assert_allclose((wa + wb).numpy(), 1)
    np.testing.assert_allclose(wa.numpy(), 0.3, rtol=1e-6)
    assert torch.equal(batch.views[0], kept)
    assert not batch.mixed
    assert torch.equal(out.target, batch.target)


def test_lam_follows_the_beta_law() -> None:
    s = (np.arange(2000) + 0.5) / 2000
    batch = random_batch(2)
    for alpha in (0.2, 1.0, 4.0):
        lams = [
            float(Mixup(alpha)(batch, torch.rand(2, 1), torch.tensor([v])).mixed[0][1][0])
            for v in s
        ]
        assert np.mean(lams) == pytest.approx(0.5, abs=1e-3)
        assert np.var(lams) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.02)


def test_nothing_is_mixed_without_alpha_or_partner() -> None:
    batch = random_batch()
    out = Mixup(alpha=0.0)(batch, torch.rand(6, 1), torch.tensor([0.4]))
    assert torch.equal(out.views[0], batch.views[0])
    one = random_batch(1)
    out = Mixup()(one, torch.rand(1, 1), torch.tensor([0.4]))
    torch.testing.assert_close(out.views[0], one.views[0])


def test_a_slice_mixes_within_the_slice() -> None:
    batch, u = random_batch(8), torch.rand(8, 1)
    halves = batch.split(2)
    for k, half in enumerate(halves):
        out = Mixup()(half, u[4 * k : 4 * k + 4], torch.tensor([0.0]))
        rows = {tuple(r) for r in half.views[0].flatten(1).tolist()}
        assert {tuple(r) for r in out.views[0].flatten(1).tolist()} == rows


def test_refusals() -> None:
    texts = batch_of(torch.zeros(2, 4, dtype=torch.int32), torch.tensor([0, 1]))
    with pytest.raises(DataError, match="int32"):
        Mixup()(texts, torch.rand(2, 1), torch.tensor([0.4]))
    with pytest.raises(ConfigError, match="finite"):
        Mixup(alpha=float("nan"))
    once = Mixup()(random_batch(), torch.rand(6, 1), torch.tensor([0.4]))
    with pytest.raises(ConfigError, match="mixed already"):
        Mixup()(once, torch.rand(6, 1), torch.tensor([0.4]))
