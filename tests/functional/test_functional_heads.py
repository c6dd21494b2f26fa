"""Formulas of classifiers against worked, recorded and independent numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import ive
from scipy.stats import ortho_group

from longtail.functional import (
    dot_regression,
    etf_lengths,
    gaussian_logits,
    log_bessel,
    simplex_etf,
)


def gram_of(c: int) -> Any:
    return np.eye(c) * (1 + 1 / (c - 1)) - 1 / (c - 1)


@pytest.mark.parametrize(("d", "c"), [(3, 3), (8, 4), (10, 10)])
def test_simplex_has_equal_angles(d: int, c: int) -> None:
    basis = torch.from_numpy(ortho_group.rvs(d, random_state=0)[:, :c])
    rows = simplex_etf(basis).numpy()
    np.testing.assert_allclose(rows @ rows.T, gram_of(c), atol=1e-12)
    np.testing.assert_allclose(rows.sum(0), 0, atol=1e-12)


def test_simplex_recorded_invariants(golden: Callable[[str], Any]) -> None:
    met = 0
    for case in golden("etf"):
        if "gram" in case["outputs"]:
            how, wanted = case["params"], case["outputs"]
            d, c = how["feat_dim"], how["num_classes"]
            rows = simplex_etf(torch.linalg.qr(torch.eye(d, c, dtype=torch.float64))[0]).numpy()
            np.testing.assert_allclose(rows @ rows.T, wanted["gram"], atol=1e-9)
            np.testing.assert_allclose(np.linalg.norm(rows, axis=1), wanted["col_norms"], rtol=1e-9)
            np.testing.assert_allclose(rows.sum(0), wanted["row_sum_zero"], atol=1e-9)
            met += 1
    assert met


def test_lengths_recorded(golden: Callable[[str], Any]) -> None:
    met = 0
    for case in golden("etf"):
        if "Ew" not in case["outputs"]:
            continue
        counts = case["class_counts"]
        if counts is None:
            given = case["inputs"]
            counts = np.bincount(given["target"], minlength=given["num_classes"])
        got = etf_lengths(torch.as_tensor(counts, dtype=torch.float64)).numpy()
        np.testing.assert_allclose(got, case["outputs"]["Ew"][0], rtol=1e-6)
        met += 1
    assert met >= 2
    assert etf_lengths(torch.tensor([4.0, 0, 1])).tolist() == pytest.approx(
        [0.625**0.5, 1, 2.5**0.5]
    )


@pytest.mark.parametrize(
    ("normalised", "wanted"),
    [(False, (0.000091, 1.480862, 1.114972)), (True, (0.000078, 1.279270, 0.963189))],
)
def test_dot_regression_worked_numbers(normalised: bool, wanted: tuple[float, ...]) -> None:
    h = torch.tensor([1.0, -0.5, -0.3], dtype=torch.float64)
    rows = simplex_etf(torch.eye(3, dtype=torch.float64))
    np.testing.assert_allclose((rows @ h).numpy(), [1.143095, -0.694022, -0.449073], atol=1e-6)
    h = h / h.norm() if normalised else h
    np.testing.assert_allclose(dot_regression(rows @ h, h.norm()).numpy(), wanted, atol=1e-6)


def test_dot_regression_cuts_the_length() -> None:
    """The feature's length gives no gradient: it is not shrunk to fit."""
    h = torch.tensor([[0.3, -0.4]], dtype=torch.float64, requires_grad=True)
    m = torch.tensor([1.0, 0.0], dtype=torch.float64)
    dot_regression(h @ m, h.norm(dim=1)).sum().backward()
    np.testing.assert_allclose(h.grad.numpy(), [[(0.3 - 0.5) / 0.5, 0.0]], rtol=1e-12)
    zero = torch.zeros(2, 3, dtype=torch.float64)
    assert dot_regression(zero, zero.norm(dim=1, keepdim=True)).sum() < 1e-9


def test_gaussian_logits() -> None:
    rng = np.random.default_rng(0)
    h, m, s = rng.normal(size=(5, 4)), rng.normal(size=(3, 4)), np.array([0.5, 1.0, 3.0])
    wanted = [[-((x - mu) ** 2).sum() / (2 * t * t) for mu, t in zip(m, s, strict=True)] for x in h]
    got = gaussian_logits(*(torch.from_numpy(v) for v in (h, m, np.log(s))))
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-12)
    far = gaussian_logits(*(torch.from_numpy(v).float() for v in (h + 2000, m + 2000, np.log(s))))
    np.testing.assert_allclose(far.numpy(), wanted, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("order", [0.0, 0.5, 2.0, 31.0, 255.0])
def test_log_bessel(order: float) -> None:
    x = torch.tensor([0.5, 1.0, 4.0, 16.0, 60.0, 400.0], dtype=torch.float64)
    x = x[x > order / 50].requires_grad_()
    value = log_bessel(order, x)
    wanted = np.log(ive(order, x.detach().numpy())) + x.detach().numpy()
    np.testing.assert_allclose(value.detach().numpy(), wanted, atol=2e-7)
    (grad,) = torch.autograd.grad(value.sum(), x)
    # I_v'(x) / I_v(x) = I_{v+1}(x) / I_v(x) + v / x
    at = x.detach().numpy()
    np.testing.assert_allclose(
        grad.numpy(), ive(order + 1, at) / ive(order, at) + order / at, rtol=1e-6
    )
