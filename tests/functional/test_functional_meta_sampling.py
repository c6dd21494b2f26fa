"""Learned class rates: recorded numbers, the same draw as over all rows, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import expit

from longtail.errors import LongtailError
from longtail.functional import drawn_entry, initial_rates, rated_draw

N = np.array([40.0, 9.0, 3.0])
OMEGA = np.array([-1.0, 0.5, 2.0])


def f64(x):
    return torch.as_tensor(np.asarray(x), dtype=torch.float64)


def test_recorded(golden):
    seen = set()
    for case in golden("bals_meta"):
        out = case["outputs"]
        if "init_pow" in case["params"]:
            n = f64(case["class_counts"])
            omega = initial_rates(n / n.sum(), case["params"]["init_pow"])
            np.testing.assert_allclose(omega, out["omega"], atol=1e-8)
            np.testing.assert_allclose(omega.sigmoid(), out["class_rate"], rtol=1e-6)
            share = n * omega.sigmoid()
            np.testing.assert_allclose(share / share.sum(), out["class_sampling_prob"], rtol=1e-6)
            seen.add("rates")
        else:
            rows = f64(case["inputs"]["st_onehot"]).requires_grad_()
            losses = f64(case["inputs"]["per_sample_loss"])
            loss = (losses * drawn_entry(rows, rows.detach().argmax(1))).mean()
            loss.backward()
            assert loss.item() == pytest.approx(out["loss"], rel=1e-6)
            np.testing.assert_allclose(rows.grad, out["grad_st_onehot"], rtol=1e-6, atol=1e-8)
            seen.add("product")
    assert seen == {"rates", "product"}


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, -1.0])
def test_where_rates_begin(power):
    pi = N / N.sum()
    got = initial_rates(f64(pi), power).sigmoid().numpy()
    raw = pi**-power
    np.testing.assert_allclose(got, raw / (raw.min() + raw.max()), rtol=1e-10)
    with_gap = initial_rates(f64([*pi, 0.0]), power).sigmoid().numpy()
    np.testing.assert_allclose(with_gap[:3], got, rtol=1e-10)
    assert 0 < with_gap[3] < 1


def test_a_power_must_be_finite():
    with pytest.raises(LongtailError, match="power"):
        initial_rates(f64(N / N.sum()), float("inf"))


def draws(rows):
    """``(rows, 3)`` uniform numbers."""
    return np.random.default_rng(0).random((rows, 3))


def test_one_hot_rows_and_their_gradient():
    """Against the softmax written in NumPy: value hard, gradient soft."""
    u = draws(50)
    omega = f64(OMEGA).requires_grad_()
    label, rows = rated_draw(omega, f64(N), f64(u), temperature=0.7)
    noisy = np.log(N) + np.log(expit(OMEGA)) - np.log(-np.log(u))
    np.testing.assert_array_equal(label, noisy.argmax(1))
    np.testing.assert_allclose(rows.detach(), np.eye(3)[noisy.argmax(1)], atol=1e-12)
    c = np.random.default_rng(1).normal(size=(50, 3))
    (rows * f64(c)).sum().backward()
    soft = np.exp(noisy / 0.7) / np.exp(noisy / 0.7).sum(1, keepdims=True)
    inner = soft * (c - (soft * c).sum(1, keepdims=True)) / 0.7
    np.testing.assert_allclose(omega.grad, (inner * (1 - expit(OMEGA))).sum(0), rtol=1e-9)


def test_drawing_classes_is_drawing_rows():
    """The classes of a Gumbel draw over all N rows, and those of ours, are distributed alike."""
    share = N * expit(OMEGA) / (N * expit(OMEGA)).sum()
    label, _ = rated_draw(f64(OMEGA), f64(N), f64(draws(20000)))
    ours = np.bincount(label, minlength=3)
    y = np.repeat(np.arange(3), N.astype(int))
    g = np.random.default_rng(2).gumbel(size=(20000, len(y)))
    whole = np.bincount(y[(np.log(expit(OMEGA))[y] + g).argmax(1)], minlength=3)
    for seen in (ours, whole):
        assert stats.chisquare(seen, share * seen.sum()).pvalue > 1e-3
    assert stats.chi2_contingency([ours, whole]).pvalue > 1e-3


def test_extreme_rates_and_empty_classes_stay_finite():
    omega = torch.tensor([15.0, -15.0, 0.0], requires_grad=True)
    label, rows = rated_draw(
        omega,
        torch.tensor([5.0, 100.0, 0.0]),
        torch.rand(64, 3, generator=torch.Generator().manual_seed(0)).clamp(1e-6, 1 - 1e-6),
    )
    assert 2 not in label.tolist(), "a class without rows is never drawn"
    (rows * torch.arange(3.0)).sum().backward()
    assert torch.isfinite(omega.grad).all()
    assert omega.grad[1] != 0, "within +-15 there is a way for the gradient"
