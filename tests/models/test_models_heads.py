"""Classifiers and the projector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from longtail.errors import ConfigError
from longtail.models import CosineHead, LinearHead, MLPProjector


def test_worked_numbers_of_the_specification() -> None:
    h = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    weight = torch.tensor([[3.0, 4.0], [1, 0], [0, 0.5]], dtype=torch.float64)
    for squash, wanted in (
        (False, (15.741919, 7.155418, 14.310835)),
        (True, (10.877398, 4.944272, 9.888544)),
    ):
        head = CosineHead(2, 3, scale=16.0, squash=squash).double()
        head.weight.data.copy_(weight)
        np.testing.assert_allclose(head(h).detach().numpy()[0], wanted, atol=1e-6)


def test_recorded_numbers(golden: Callable[[str], Any]) -> None:
    for case in golden("cosine_heads"):
        lift = "LIFT" in case["params"]["kind"]
        weight = torch.tensor(case["inputs"]["weight"], dtype=torch.float64)
        head = CosineHead(
            weight.shape[1], len(weight), scale=25.0 if lift else 16.0, squash=not lift
        ).double()
        head.weight.data.copy_(weight)
        out = head(torch.tensor(case["inputs"]["features"], dtype=torch.float64))
        np.testing.assert_allclose(out.detach().numpy(), case["outputs"]["logits"], atol=1e-9)


def test_cosine_scale_bias_and_zero_features() -> None:
    head = CosineHead(4, 3)
    assert head.scale == 30.0
    assert head.bias is None
    assert head.weight.shape == (3, 4)
    np.testing.assert_allclose(head.weight.detach().norm(dim=1).numpy(), 1, rtol=1e-6)
    out = head(torch.zeros(1, 4, requires_grad=True))
    assert (out == 0).all()
    out.sum().backward()
    assert torch.isfinite(head.weight.grad).all()
    assert (head(torch.randn(50, 4)).abs() <= 30.0001).all()


def test_cosine_widens_half_precision() -> None:
    head = CosineHead(4, 3)
    h = torch.randn(6, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = head(h)
    assert out.dtype == torch.float32
    assert torch.equal(out, head(h))
    assert head(h.bfloat16()).dtype == torch.float32


def test_learnable_scale() -> None:
    head = CosineHead(4, 3, scale=10.0, learnable=True)
    fixed = CosineHead(4, 3, scale=10.0)
    fixed.weight.data.copy_(head.weight)
    h = torch.randn(5, 4)
    assert torch.allclose(head(h), fixed(h), rtol=1e-5)
    head(h).pow(2).sum().backward()
    assert head.log_scale.grad.abs() > 0
    assert head.scale == 10.0
    with pytest.raises(ConfigError, match="positive"):
        CosineHead(4, 3, scale=0.0)


def test_linear() -> None:
    head = LinearHead(4, 3)
    h = torch.randn(5, 4)
    assert head.scale is None
    wanted = h.numpy() @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    np.testing.assert_allclose(head(h).detach().numpy(), wanted, rtol=1e-5, atol=1e-6)
    assert LinearHead(4, 3, bias=False).bias is None
    with pytest.raises(ConfigError, match="2 classes"):
        LinearHead(4, 1)


def test_projector_gives_unit_rows() -> None:
    out = MLPProjector(6, out_features=3)(torch.randn(5, 6))
    assert out.shape == (5, 3)
    np.testing.assert_allclose(out.detach().norm(dim=1).numpy(), 1, rtol=1e-5)
    assert MLPProjector(6, layers=1, normalise=False, out_features=2)(torch.randn(5, 6)).shape == (
        5,
        2,
    )
