"""The regulariser of label distribution disentangling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from longtail.errors import ConfigError, DataError, UnknownNameError
from longtail.functional import lade_regulariser
from longtail.functional.lade import LadeSums, lade_sums
from longtail.types import ClassStats

N = [100, 10, 1]
LOG_PI = ClassStats(N).log_prior
Z = torch.tensor([[2.0, 1.0, 0.5], [0.0, 1.5, 0.2]], dtype=torch.float64)
Y = torch.tensor([0, 2])


def reference(z, y, pi, penalty, importance):
    """Class after class, row after row, in the plain domain."""
    b, c = z.shape
    total = 0.0
    for j in range(c):
        own = [z[i, j] for i in range(b) if y[i] == j]
        first = sum(own) / len(own) if own else 0.0
        mean = 0.0
        for i in range(b):
            divided_by = pi[y[i]] if importance == "sample" else pi[j]
            mean += (1 / c) / divided_by * np.exp(z[i, j]) / b
        second = np.log(mean)
        total -= pi[j] * (first - second - penalty * second**2)
    return total


def test_worked_numbers():
    ce = F.cross_entropy(Z + LOG_PI, Y)
    assert float(ce) == pytest.approx(2.411073, abs=1e-6)
    for importance, value, whole in (
        ("sample", 2.306041, 2.641677),
        ("class", -1.046563, 2.306417),
    ):
        found = lade_regulariser(Z, Y, LOG_PI, penalty=0.1, importance=importance)
        assert float(found) == pytest.approx(value, abs=1e-6)
        assert float(ce + 0.1 * found) == pytest.approx(whole, abs=1e-6)


def test_recorded_numbers_of_the_published_code(golden):
    """It divides by the prior of the column, a departure from the paper: importance="class"."""
    cases = golden("lade")
    assert cases
    for case in cases:
        p, log_prior = case["params"], ClassStats(case["class_counts"]).log_prior
        z = torch.tensor(case["inputs"]["logits"], dtype=torch.float64, requires_grad=True)
        y = torch.tensor(case["inputs"]["target"])
        found = lade_regulariser(z, y, log_prior, penalty=p["remine_lambda"], importance="class")
        want = case["outputs"]
        assert found.item() == pytest.approx(want["lade_regulariser"], rel=1e-5)
        ce = F.cross_entropy(z + log_prior, y)
        assert ce.item() == pytest.approx(want["prior_ce"], rel=1e-5)
        loss = ce + p["lade_alpha"] * found
        (grad,) = torch.autograd.grad(loss, z)
        assert loss.item() == pytest.approx(want["loss"], rel=1e-5)
        expected = torch.tensor(want["grad_logits"], dtype=torch.float64)
        torch.testing.assert_close(grad, expected, rtol=1e-5, atol=1e-7)
        other = lade_regulariser(z, y, log_prior, penalty=p["remine_lambda"])
        assert other.item() != pytest.approx(want["lade_regulariser"], rel=1e-3)


@pytest.mark.parametrize("importance", ["sample", "class"])
def test_against_loops(importance):
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(14, 4)) * 2, rng.integers(0, 3, 14)  # class 3 has no row
    pi = rng.dirichlet(np.ones(4))
    x, log_pi = torch.tensor(z, requires_grad=True), torch.tensor(np.log(pi))
    found = lade_regulariser(x, torch.tensor(y), log_pi, penalty=0.3, importance=importance)
    assert found.item() == pytest.approx(reference(z, y, pi, 0.3, importance))
    (grad,) = torch.autograd.grad(found, x)
    for i, j in ((0, 0), (5, 3), (13, 1)):
        step = np.zeros_like(z)
        step[i, j] = 1e-6
        up, down = (reference(z + s, y, pi, 0.3, importance) for s in (step, -step))
        assert float(grad[i, j]) == pytest.approx((up - down) / 2e-6, abs=1e-7)
    hot = F.one_hot(torch.tensor(y), 4).double()
    again = lade_regulariser(x, hot, log_pi, penalty=0.3, importance=importance)
    assert again.item() == pytest.approx(found.item())


def test_rows_that_count_twice_are_two_rows():
    v = torch.tensor([2.0, 1.0], dtype=torch.float64)
    twice = lade_regulariser(torch.cat([Z[:1], Z]), torch.tensor([0, 0, 2]), LOG_PI)
    assert float(lade_regulariser(Z, Y, LOG_PI, sample_weight=v)) == pytest.approx(float(twice))
    none = torch.tensor([1.0, 0.0], dtype=torch.float64)
    alone = lade_regulariser(Z[:1], Y[:1], LOG_PI)
    assert float(lade_regulariser(Z, Y, LOG_PI, sample_weight=none)) == pytest.approx(float(alone))


def test_sums_of_two_halves_are_those_of_the_whole():
    g = torch.Generator().manual_seed(0)
    z, y = torch.randn(9, 3, generator=g, dtype=torch.float64), torch.arange(9) % 3
    parts = [lade_sums(z[s], y[s], LOG_PI) for s in (slice(0, 4), slice(4, 9))]
    joint = LadeSums(
        torch.stack([p.density for p in parts]).logsumexp(0),
        *(sum(getattr(p, k) for p in parts) for k in ("linear", "labels", "rows")),
    )
    whole = lade_regulariser(z, y, LOG_PI, penalty=0.2)
    assert float(joint.value(LOG_PI, 0.2)) == pytest.approx(float(whole))
    apart = sum(float(p.value(LOG_PI, 0.2)) for p in parts) / 2
    assert apart != pytest.approx(float(whole), rel=1e-3), "it is no mean over parts of a batch"


def test_extreme_logits_and_masked_classes():
    z = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]], requires_grad=True)
    value = lade_regulariser(z, torch.tensor([1, 0]), LOG_PI)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(z.grad).all()
    masked = ClassStats([100, 10, 0], on_empty="ignore").log_prior
    near = lade_regulariser(Z, Y.clamp(max=1), masked)
    far = Z.clone()
    far[:, 2] += 50
    assert torch.isfinite(near)
    assert float(lade_regulariser(far, Y.clamp(max=1), masked)) == pytest.approx(float(near))


@pytest.mark.parametrize("label", [-1, -100, 3])
def test_labels_outside_the_classes(label):
    with pytest.raises(DataError, match=r"1 rows have a label outside \[0, 3\)"):
        lade_regulariser(Z, torch.tensor([0, label]), LOG_PI)


def test_what_does_not_fit_is_refused():
    for z, y, log_prior in (
        (Z, Y[:1], LOG_PI),
        (Z, Y, LOG_PI[:2]),
        (Z, torch.ones(2, 2), LOG_PI),
        (Z, Y > 0, LOG_PI),
        (Z.long(), Y, LOG_PI),
        (Z[0], Y, LOG_PI),
    ):
        with pytest.raises(DataError, match="do not fit"):
            lade_regulariser(z, y, log_prior)
    for compute in (lade_regulariser, lade_sums):
        with pytest.raises(UnknownNameError, match="did you mean 'sample'"):
            compute(Z, Y, LOG_PI, importance="samples")
    for penalty in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="penalty"):
            lade_regulariser(Z, Y, LOG_PI, penalty=penalty)


def test_half_precision_is_widened():
    z = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]])
    for dtype in (torch.float16, torch.bfloat16):
        low = z.to(dtype)
        assert torch.equal(
            lade_regulariser(low, Y, LOG_PI), lade_regulariser(low.float(), Y, LOG_PI)
        )
