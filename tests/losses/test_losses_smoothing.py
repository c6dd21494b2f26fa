"""Label-aware and over-strong smoothing: worked and recorded numbers, NumPy, gradients, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from longtail import create
from longtail.errors import ConfigError, LongtailError
from longtail.functional.smoothing import smoothing_rates
from longtail.losses import CrossEntropy, LabelAwareSmoothing
from longtail.types import ClassStats

pytestmark = pytest.mark.usefixtures("untouched_randomness")

N = [100, 10, 1]
Z = torch.tensor([[2.0, 1.0, 0.5]], dtype=torch.float64).expand(3, 3)
Y = torch.arange(3)
NAME = "label_aware_smoothing"


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


@pytest.mark.parametrize(
    ("spread", "expected"),
    [("all", (0.797702, 1.440586, 1.897702)), ("others", (0.964369, 1.428695, 1.864369))],
)
def test_worked_numbers(spread, expected):
    loss = LabelAwareSmoothing(0.4, 0.1, spread=spread, reduction="none", class_counts=N)
    np.testing.assert_allclose(loss(Z, Y), expected, atol=1e-6)
    np.testing.assert_allclose(loss(Z, torch.eye(3, dtype=torch.float64)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("concave", (0.4, 0.142694, 0.1)),
        ("linear", (0.4, 0.127273, 0.1)),
        ("convex", (0.4, 0.103054, 0.1)),
    ],
)
def test_worked_strengths(shape, expected):
    loss = LabelAwareSmoothing(0.4, 0.1, shape=shape, class_counts=N)
    np.testing.assert_allclose(loss.rates, expected, atol=1e-6)


def numpy_rates(counts, head, tail, shape, power):
    """The shapes as the paper writes them, one class at a time."""
    low, high = min(counts), max(counts)
    out = []
    for n in counts:
        u = (n - low) / (high - low)
        g = {
            "concave": math.sin(u * math.pi / 2),
            "linear": u,
            "convex": 1 + math.sin(1.5 * math.pi + u * math.pi / 2),
            "exp": u ** (power or 1),
        }[shape]
        out.append(tail + (head - tail) * g)
    return np.array(out)


def numpy_loss(z, y, rates, spread):
    """Cross-entropy against the target distribution, entry by entry."""
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    rows, classes = z.shape
    target = np.empty_like(z)
    for i in range(rows):
        e = rates[y[i]]
        for j in range(classes):
            share = e / classes if spread == "all" else (e / (classes - 1) if j != y[i] else 0.0)
            target[i, j] = share + (1 - e if j == y[i] else 0.0)
    return -(target * np.log(p)).sum(1), (p - target) / rows


@pytest.mark.parametrize("spread", ["all", "others"])
@pytest.mark.parametrize(
    ("shape", "power"), [("concave", None), ("linear", None), ("convex", None), ("exp", 2.5)]
)
def test_value_and_gradient_are_those_of_a_numpy_loop(shape, power, spread):
    counts = [7, 300, 57, 7, 19]
    rng = np.random.default_rng(3)
    z, y = rng.normal(0, 3, (9, 5)), rng.integers(0, 5, 9)
    rates = numpy_rates(counts, 0.45, 0.05, shape, power)
    value, grad = numpy_loss(z, y, rates, spread)
    loss = LabelAwareSmoothing(
        0.45, 0.05, shape=shape, power=power, spread=spread, class_counts=counts
    )
    logits = f64(z).requires_grad_()
    mean = loss(logits, torch.tensor(y))
    mean.backward()
    np.testing.assert_allclose(loss.rates, rates, rtol=1e-12)
    np.testing.assert_allclose(mean.item(), value.mean(), rtol=1e-12)
    np.testing.assert_allclose(logits.grad, grad, rtol=1e-10, atol=1e-14)
    assert torch.autograd.gradcheck(lambda v: loss(v, torch.tensor(y)), f64(z).requires_grad_())


def test_recorded_numbers_of_published_code(golden):
    for case in golden(NAME):
        params, given, out = case["params"], case["inputs"], case["outputs"]
        loss = LabelAwareSmoothing(
            params["smooth_head"],
            params["smooth_tail"],
            shape=params["shape"],
            spread="all",
            class_counts=case["class_counts"],
        )
        logits = f64(given["logits"]).requires_grad_()
        value = loss(logits, torch.tensor(given["target"]))
        value.backward()
        np.testing.assert_allclose(loss.rates, out["smooth"], rtol=1e-6)
        np.testing.assert_allclose(value.item(), out["loss"], rtol=1e-6)
        np.testing.assert_allclose(logits.grad, out["grad_logits"], rtol=1e-6, atol=1e-8)


def test_equal_counts_are_plain_smoothing_and_no_nan():
    """Published code divides zero by zero here."""
    g = torch.Generator().manual_seed(0)
    z, y = torch.randn(8, 4, generator=g, dtype=torch.float64), torch.arange(8) % 4
    loss = LabelAwareSmoothing(0.3, 0.1, class_counts=[5, 5, 5, 5])
    torch.testing.assert_close(loss(z, y), F.cross_entropy(z, y, label_smoothing=0.3))


def test_no_strength_is_cross_entropy():
    loss = LabelAwareSmoothing(0.0, 0.0, class_counts=N)
    torch.testing.assert_close(loss(Z, Y), F.cross_entropy(Z, Y))


@pytest.mark.parametrize("spread", ["all", "others"])
def test_a_masked_class_gets_no_share_of_the_smoothing(spread):
    """Its logit matters for the softmax alone; the rarest class present is the tail."""
    stats = ClassStats([40, 0, 5, 11], on_empty="ignore")
    loss = LabelAwareSmoothing(0.4, 0.1, spread=spread, reduction="none", class_counts=stats)
    z, y = f64([[0.3, -2.0, 1.0, 0.5]]), torch.tensor([0])
    log_p = F.log_softmax(z, 1)[0]
    seen = log_p[[0, 2, 3]]
    even = -seen.mean() if spread == "all" else -(seen[1:]).mean()
    torch.testing.assert_close(loss(z, y)[0], -0.6 * log_p[0] + 0.4 * even)
    assert loss.rates[2] == pytest.approx(0.1)
    onehot = torch.eye(4, dtype=torch.float64)[:1]
    torch.testing.assert_close(loss(z, onehot), loss(z, y))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"eps_head": 0.1, "eps_tail": 0.3}, "tail <= head"),
        ({"eps_head": 1.0}, "head < 1"),
        ({"eps_tail": -0.1}, "0 <= tail"),
        ({"eps_head": math.nan}, "nan"),
        ({"shape": "concav"}, "concave"),
        ({"shape": "exp"}, "needs its power"),
        ({"shape": "linear", "power": 2.0}, "has no power"),
        ({"shape": "exp", "power": 0.0}, "positive"),
        ({"spread": "every"}, "others"),
    ],
)
def test_refusals(options, said):
    with pytest.raises(LongtailError, match=said) as caught:
        create("loss", NAME, class_counts=N, **options)
    assert len(str(caught.value).splitlines()) == 2


def test_the_pure_function_refuses_alike():
    with pytest.raises(ConfigError, match="tail <= head"):
        smoothing_rates(f64([3, 2]), head=0.1, tail=0.2)


# -- over-smoothing, which is cross-entropy with smoothing near one ---------------------------


def test_over_smoothing_worked_numbers():
    loss = CrossEntropy(label_smoothing=0.98, reduction="none", class_counts=N)
    np.testing.assert_allclose(loss(Z, Y), (1.281035, 1.301035, 1.311035), atol=1e-6)
    p = Z[0].softmax(0)
    row = torch.autograd.functional.jacobian(lambda z: loss(z[None], Y[:1])[0], Z[0].clone())
    np.testing.assert_allclose(p - row, (0.346667, 0.326667, 0.326667), atol=1e-6)


def test_over_smoothing_recorded_numbers(golden):
    for case in golden("los"):
        given, out = case["inputs"], case["outputs"]
        logits = f64(given["logits"]).requires_grad_()
        loss = CrossEntropy(label_smoothing=case["params"]["label_smooth"])
        value = loss(logits, torch.tensor(given["target"]))
        value.backward()
        np.testing.assert_allclose(value.item(), out["loss"], rtol=1e-6)
        np.testing.assert_allclose(logits.grad, out["grad_logits"], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("smoothing", [1.0, -0.1, math.nan])
def test_over_smoothing_stays_below_one(smoothing):
    with pytest.raises(ConfigError, match=r"\[0, 1\)"):
        CrossEntropy(label_smoothing=smoothing)
