"""Class weights and margins against the specification, recorded numbers and NumPy loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from longtail.errors import LongtailError
from longtail.functional import (
    effective_count,
    effective_number,
    inverse_frequency,
    ldam_margins,
)

N = [100, 10, 1]


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        (1.0, (0.027027, 0.270270, 2.702703)),
        (0.5, (0.211830, 0.669866, 2.118303)),
        (1.2, (0.011192, 0.177389, 2.811419)),
        (0.0, (1.0, 1.0, 1.0)),
    ],
)
def test_inverse_frequency_worked(power, expected):
    np.testing.assert_allclose(inverse_frequency(N, power), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("beta", "expected"),
    [
        (0.99, (0.042237, 0.280044, 2.677719)),
        (0.9999, (0.027159, 0.270369, 2.702472)),
        (0.0, (1.0, 1.0, 1.0)),
    ],
)
def test_effective_number_worked(beta, expected):
    np.testing.assert_allclose(effective_number(N, beta), expected, atol=1e-6)


def test_margins_worked():
    np.testing.assert_allclose(ldam_margins(N), (0.158114, 0.281171, 0.5), atol=1e-6)


def test_against_loops():
    counts = [7, 3, 233, 181, 1]
    for beta in (0.0, 0.9, 0.999999):
        raw = [(1 - beta) / (1 - beta**n) for n in counts]
        expected = [len(counts) * w / sum(raw) for w in raw]
        np.testing.assert_allclose(effective_number(counts, beta), expected, rtol=1e-9)
        np.testing.assert_allclose(effective_count(counts, beta), [1 / w for w in raw], rtol=1e-9)
    raw = [n**-0.7 for n in counts]
    expected = [len(counts) * w / sum(raw) for w in raw]
    np.testing.assert_allclose(inverse_frequency(counts, 0.7), expected, rtol=1e-12)
    smallest = min(counts)
    expected = [0.4 * (smallest / n) ** 0.25 for n in counts]
    np.testing.assert_allclose(ldam_margins(counts, 0.4), expected, rtol=1e-12)


def test_recorded(golden):
    for case in golden("cb_weights"):
        if "rule" in case["params"] or "weights" not in case["outputs"]:
            continue
        got = effective_number(case["class_counts"], case["params"]["beta"])
        np.testing.assert_allclose(got, case["outputs"]["weights"], rtol=1e-6, atol=1e-8)
    for case in golden("weighted_ce"):
        got = inverse_frequency(case["class_counts"], case["params"]["rho"])
        np.testing.assert_allclose(got, case["outputs"]["weights_mean1"], rtol=1e-6)
    for case in golden("ldam"):
        if "margins" in case["outputs"]:
            got = ldam_margins(case["class_counts"], case["params"]["max_m"])
            np.testing.assert_allclose(got, case["outputs"]["margins"], rtol=1e-6)


def test_extremes_stay_finite_and_of_mean_one():
    counts = [10**9, 1, 10**6, 3]
    for w in (
        inverse_frequency(counts, 3.0),
        inverse_frequency(counts, -40.0),
        effective_number(counts, 1 - 1e-12),
    ):
        assert torch.isfinite(w).all()
        assert float(w.mean()) == pytest.approx(1)
    np.testing.assert_allclose(effective_number(N, 1 - 1e-9), inverse_frequency(N), rtol=1e-5)


def test_a_class_without_samples_has_weight_and_margin_zero():
    for w in (
        inverse_frequency([10, 0, 5]),
        effective_number([10, 0, 5]),
        ldam_margins([10, 0, 5]),
    ):
        assert w[1] == 0
        assert (w[[0, 2]] > 0).all()
    assert float(inverse_frequency([10, 0, 5]).sum()) == pytest.approx(2)


def test_renaming_classes_renames_the_weights():
    p = torch.tensor([2, 0, 1])
    counts = torch.tensor(N)
    for rule in (inverse_frequency, effective_number, ldam_margins):
        torch.testing.assert_close(rule(counts)[p], rule(counts[p]))


@pytest.mark.parametrize(
    "call",
    [
        lambda: inverse_frequency([1]),
        lambda: inverse_frequency([1, -1]),
        lambda: inverse_frequency([0, 0]),
        lambda: inverse_frequency([1, float("nan")]),
        lambda: inverse_frequency(N, float("inf")),
        lambda: effective_number(N, 1.0),
        lambda: effective_number(N, -0.1),
        lambda: effective_number(N, float("nan")),
        lambda: ldam_margins(N, -1.0),
        lambda: ldam_margins(N, 0.5, float("nan")),
    ],
)
def test_refusals_have_two_lines(call):
    with pytest.raises(LongtailError) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 2
