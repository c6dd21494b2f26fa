"""Binary cross-entropy on a softmax: value and gradient where one class holds nearly everything."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from longtail.functional.losses import bce_on_softmax, bce_on_softmax_classes


def by_numpy(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``(-log p_y - sum_{j != y} log(1 - p_j)) / C``, each logarithm from the logits."""
    total = logsumexp(z, axis=1)
    out = -(z[np.arange(len(z)), y] - total)
    for j in range(z.shape[1]):
        without = logsumexp(np.delete(z, j, axis=1), axis=1) - total
        out -= np.where(y == j, 0.0, without)
    return out / z.shape[1]


@pytest.mark.parametrize("scale", [0.5, 5.0, 300.0, 1e4])
def test_values_and_gradients_hold_at_any_scale(scale: float) -> None:
    g = torch.Generator().manual_seed(0)
    z = (scale * torch.randn(300, 6, dtype=torch.float64, generator=g)).requires_grad_()
    y = torch.randint(0, 6, (300,), generator=g)
    rows = torch.rand(300, dtype=torch.float64, generator=g)
    loss = bce_on_softmax(z, y)
    (mine,) = torch.autograd.grad((rows * loss).sum(), z)
    want = by_numpy(z.detach().numpy(), y.numpy())
    np.testing.assert_allclose(loss.detach().numpy(), want, rtol=1e-9, atol=1e-12)
    plain = bce_on_softmax_classes(z).gather(1, y[:, None]).squeeze(1)
    (theirs,) = torch.autograd.grad((rows * plain).sum(), z)
    torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("others", [0, 3])
def test_a_single_live_class_costs_nothing(others: int) -> None:
    z = torch.full((2, 1 + others), -torch.inf).index_fill_(1, torch.tensor([0]), 2.0)
    loss = bce_on_softmax(z.requires_grad_(), torch.zeros(2, dtype=torch.long))
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    assert loss.tolist() == [0.0, 0.0]
    assert not gradient.any()
    with torch.no_grad():
        assert bce_on_softmax(z, torch.zeros(2, dtype=torch.long)).tolist() == [0.0, 0.0]


def test_half_of_two_classes_and_ties() -> None:
    z = torch.tensor([[0.0, 0.0], [2.0, 2.0]], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0, 1])
    assert torch.autograd.gradcheck(lambda t: bce_on_softmax(t, y), z)
    torch.testing.assert_close(
        bce_on_softmax(z, y).detach(), torch.full((2,), float(np.log(2)), dtype=torch.float64)
    )
