"""Dot-regression against recorded numbers and formulas written in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from longtail.errors import ConfigError, DataError, UnboundPartError, UnknownNameError
from longtail.losses import DotRegression


def rows(z: Any, h: Any, y: Any, lengths: Any = None, reg: float = 0.0) -> Any:
    length = np.linalg.norm(h, axis=1)
    dots = z[np.arange(len(y)), y]
    own = np.ones(z.shape[1]) if lengths is None else lengths
    return own[y] ** 2 * (dots - length) ** 2 / (2 * length) + reg * length


def sample() -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, 4)), rng.normal(size=(7, 5)), np.array([0, 1, 3, 1, 1, 0, 3])


def tensors(*values: Any) -> list[torch.Tensor]:
    return [torch.from_numpy(v) for v in values]


def test_recorded_numbers(golden: Callable[[str], Any]) -> None:
    """Value and gradient in the features, as given (the function alone) and through the pipeline
    of BatchNorm and length one."""
    met = set()
    for case in golden("etf"):
        given, wanted, how = case["inputs"], case["outputs"], case["params"]
        if "loss" not in wanted:
            continue
        h = torch.tensor(given["features"], dtype=torch.float64, requires_grad=True)
        matrix = torch.tensor(given["etf_matrix_DxC"], dtype=torch.float64)
        x = h
        if "bn_weight" in given:
            weight, bias = (
                torch.tensor(given[k], dtype=torch.float64) for k in ("bn_weight", "bn_bias")
            )
            x = torch.nn.functional.batch_norm(h, None, None, weight, bias, training=True)
            x = torch.nn.functional.normalize(x, dim=1)
            np.testing.assert_allclose(
                x.detach().numpy(), wanted["feature_after_BN_and_L2"], rtol=1e-6, atol=1e-8
            )
        loss = DotRegression(reg=how.get("reg_lam", 0.0))
        target = torch.tensor(given["target"])
        value = loss(x @ matrix, target, features=x)
        np.testing.assert_allclose(float(value.detach()), wanted["loss"], rtol=1e-6)
        (grad,) = torch.autograd.grad(value, h)
        np.testing.assert_allclose(grad.numpy(), wanted["grad_features"], rtol=1e-6, atol=1e-8)
        met.add("bn_weight" in given)
    assert met == {False, True}


@pytest.mark.parametrize("lengths", ["none", "batch", "counts"])
@pytest.mark.parametrize("reg", [0.0, 0.01])
def test_value_and_gradient(lengths: str, reg: float) -> None:
    z, h, y = sample()
    counts = np.array([40.0, 6, 3, 11])
    own = {
        "none": None,
        "counts": np.sqrt(counts.mean() / counts),
        "batch": np.sqrt((7 / 3) / np.array([2, 3, 7 / 3, 2])),
    }[lengths]
    loss = DotRegression(2.0, lengths=lengths, reg=reg, class_counts=counts.tolist())
    logits, features, target = tensors(2 * z, h, y)
    logits.requires_grad_()
    value = loss(logits, target, features=features)
    np.testing.assert_allclose(float(value.detach()), rows(z, h, y, own, reg).mean(), rtol=1e-9)
    (grad,) = torch.autograd.grad(value, logits)
    step, found = 1e-6, np.zeros_like(z)
    for at in np.ndindex(z.shape):
        low, high = 2 * z, 2 * z
        low, high = low.copy(), high.copy()
        low[at] -= step
        high[at] += step
        ends = [rows(v / 2, h, y, own, reg).mean() for v in (low, high)]
        found[at] = (ends[1] - ends[0]) / (2 * step)
    np.testing.assert_allclose(grad.numpy(), found, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("lengths", ["none", "counts"])
def test_soft_targets_are_mixtures(lengths: str) -> None:
    z, h, y = sample()
    loss = DotRegression(lengths=lengths, class_counts=[40, 6, 3, 11], reduction="none")
    logits, features, target = tensors(z, h, y)
    hot = torch.nn.functional.one_hot(target, 4).double()
    hard = loss(logits, target, features=features)
    assert torch.allclose(loss(logits, hot, features=features), hard)
    other = hot.roll(1, 0)
    mixed = loss(logits, 0.3 * hot + 0.7 * other, features=features)
    rolled = loss(logits, target.roll(1, 0), features=features)
    assert torch.allclose(mixed, 0.3 * hard + 0.7 * rolled)


def test_batch_lengths_leave_ignored_rows_out() -> None:
    z, h, y = sample()
    loss = DotRegression(lengths="batch", reduction="none")
    logits, features, target = tensors(z, h, y)
    target[2] = -100
    kept = target != -100
    got = loss(logits, target, features=features)
    alone = loss(logits[kept], target[kept], features=features[kept])
    assert torch.equal(got[kept], alone)
    assert got[2] == 0
    hot = torch.nn.functional.one_hot(target[kept], 4).double()
    assert torch.allclose(loss(logits[kept], hot, features=features[kept]), alone)


def test_refuses() -> None:
    with pytest.raises(UnknownNameError, match="length"):
        DotRegression(lengths="given")
    for wrong in ({"scale": 0.0}, {"reg": -1.0}, {"scale": float("nan")}):
        with pytest.raises(ConfigError):
            DotRegression(**wrong)
    z, h, y = tensors(*sample())
    with pytest.raises(DataError, match="features"):
        DotRegression()(z, y)
    with pytest.raises(UnboundPartError):
        DotRegression(lengths="counts")(z, y, features=h)
