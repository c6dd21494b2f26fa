"""The causal classifier against worked, recorded and independent numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from longtail.errors import ConfigError
from longtail.models import CausalHead

W = ((3.0, 4.0), (1, 0), (0, 0.5))


def tensor(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def head_of(weight: Any, direction: Any, **options: Any) -> CausalHead:
    weight = tensor(weight)
    head = CausalHead(weight.shape[1], len(weight), **options).double()
    with torch.no_grad():
        head.weight.copy_(weight)
        head.direction.copy_(tensor(direction))
    return head


def by_hand(h: Any, w: Any, d: Any, k: int, s: float, gamma: float, alpha: float) -> Any:
    """One row, class and chunk at a time."""
    out = np.zeros((len(h), len(w)))
    for i, c, chunk in np.ndindex(len(h), len(w), k):
        part = np.split(np.arange(len(d)), k)[chunk]
        x, v, u = h[i, part], w[c, part], d[part] / np.linalg.norm(d[part])
        x = x / np.linalg.norm(x)
        x = x - alpha * (x @ u) * u
        out[i, c] += s / k * (x @ v) / (np.linalg.norm(v) + gamma)
    return out


def test_worked_numbers() -> None:
    head = head_of(W, (1.0, 0.0), heads=1, alpha=1.5)
    h = tensor([[0.6, 0.8]])
    np.testing.assert_allclose(
        head(h).detach().numpy()[0], [15.900621, 9.309091, 12.047059], atol=1e-6
    )
    np.testing.assert_allclose(
        head.eval()(h).detach().numpy()[0], [7.314286, -4.654545, 12.047059], atol=1e-6
    )


def test_recorded_numbers(golden: Callable[[str], Any]) -> None:
    met = {"logits": 0, "direction": 0}
    for case in golden("tde"):
        given, wanted, how = case["inputs"], case["outputs"], case["params"]
        if "batches" in given:
            head = CausalHead(len(wanted["embed"][0]), 3).double()
            for batch, after in zip(given["batches"], wanted["embed"], strict=True):
                head.fold(head.watch(tensor(batch), []))
                np.testing.assert_allclose(head.direction.numpy(), after, rtol=1e-6, atol=1e-8)
            met["direction"] += 1
            continue
        head = head_of(
            given["weight"],
            given["embed_mean"],
            heads=how["num_head"],
            scale=how["tau"],
            alpha=how["alpha"],
            gamma=how["gamma"],
        )
        h = tensor(given["features"])
        for mode, logits in ((True, "train_logits"), (False, "test_logits")):
            out = head.train(mode)(h).detach().numpy()
            np.testing.assert_allclose(out, wanted[logits], rtol=1e-6, atol=1e-8)
        met["logits"] += 1
    assert min(met.values()) >= 1


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_value_and_gradient_are_the_formula(heads: int) -> None:
    rng = np.random.default_rng(heads)
    h, w, d = rng.normal(size=(4, 6)), rng.normal(size=(5, 6)), rng.normal(size=6)
    head = head_of(w, d, heads=heads, alpha=2.0)
    for training, alpha in ((True, 0.0), (False, 2.0)):
        z = head.train(training)(torch.from_numpy(h)).detach().numpy()
        np.testing.assert_allclose(z, by_hand(h, w, d, heads, 16, 1 / 32, alpha), rtol=1e-9)
    g = rng.normal(size=(4, 5))
    head.train()
    (head(torch.from_numpy(h)) * torch.from_numpy(g)).sum().backward()
    step, found = 1e-6, np.zeros_like(w)
    for at in np.ndindex(w.shape):
        low, high = w.copy(), w.copy()
        low[at], high[at] = w[at] - step, w[at] + step
        values = [(g * by_hand(h, v, d, heads, 16, 1 / 32, 0.0)).sum() for v in (low, high)]
        found[at] = (values[1] - values[0]) / (2 * step)
    np.testing.assert_allclose(head.weight.grad.numpy(), found, rtol=1e-5, atol=1e-6)


def test_untrained_it_answers_plainly() -> None:
    """A zero direction and a zero feature are no direction: published code returns NaN."""
    head = CausalHead(4, 3)
    h = torch.randn(5, 4)
    h[0] = 0
    plain = head(h).detach()
    assert torch.equal(head.eval()(h).detach(), plain)
    assert (plain[0] == 0).all()


def test_alpha_needs_no_training() -> None:
    head = head_of(W, (1.0, 0.5), heads=1).eval()
    h = tensor([[0.3, -0.7], [2.0, 1.0]])
    before = head(h)
    head.use(0.0)
    assert head.choice() == 0
    assert torch.equal(head(h), head.train()(h))
    head.eval().use(1.5)
    assert torch.equal(head(h), before)
    assert 0.5 in head.choices()
    head.use(0.3)
    assert 0.3 in head.choices()
    other = head_of(W, (0.0, 0.0), heads=1).eval()
    other.load_state_dict(head.state_dict())
    assert torch.equal(other(h), head(h))
    assert other.choice() == 0.3


def test_pace_and_half_precision() -> None:
    head = CausalHead(2, 3, momentum=0.9)
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    head.fold(head.watch(rows, []))
    head.fold(head.watch(rows, []), 0.5)
    np.testing.assert_allclose(head.direction.numpy(), 0.95 * np.array([2, 3]) + [2, 3], rtol=1e-6)
    big = torch.full((2000, 2), 300.0, dtype=torch.float16)
    assert torch.isfinite(head.watch(big, [])["sum"]).all()
    assert head(rows.half()).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(head(rows), head.float()(rows))


@pytest.mark.parametrize(
    "wrong",
    [{"heads": 3}, {"heads": 0}, {"scale": 0.0}, {"gamma": -1.0}, {"alpha": -0.1},
     {"alpha": float("nan")}, {"momentum": 1.0}],
)  # fmt: skip
def test_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        CausalHead(4, 3, **wrong)
