"""The temperature of a model's scores, every class weighing the same."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["balanced_temperature", "temperature_error", "temperature_losses"]

BOUND = 2.5  #: of the absolute logarithm of a temperature


def balanced_temperature(u: Tensor, target: Tensor) -> float:
    """Temperature of least class-balanced log-likelihood loss of ``softmax(u / T)``.

    Args:
        u: ``(M, C)`` scores in the uniform frame: those that answer to equal shares.
        target: ``(M,)`` labels.

    Returns:
        Within ``exp(-2.5)`` and ``exp(2.5)``; at a bound the rows tell nothing of it.

    Reference: Guo et al., ICML 2017.
    """
    from scipy.optimize import minimize_scalar

    weight = 1.0 / torch.bincount(target, minlength=u.shape[1]).double()[target]

    def loss(log_heat: float) -> float:
        each = F.cross_entropy(u / float(np.exp(log_heat)), target, reduction="none")
        return float((weight * each).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-BOUND, BOUND), method="bounded").x))


def temperature_losses(u: Tensor, target: Tensor, heats: Tensor) -> Tensor:
    """``-log softmax(u / T)_y`` of every row and every temperature. Shape ``(M, G)``."""
    return torch.stack(
        [F.cross_entropy(u / float(t), target, reduction="none") for t in heats], dim=1
    )


def temperature_error(u: Tensor, target: Tensor, heat: float, *, step: float = 0.05) -> float:
    """Standard error of the logarithm of :func:`balanced_temperature` (sandwich, at most 1)."""
    weight = 1.0 / torch.bincount(target, minlength=u.shape[1]).double()[target]
    heats = heat * torch.tensor([-step, 0.0, step], dtype=torch.float64).exp()
    low, mid, high = temperature_losses(u, target, heats).double().T
    slope = (high - low) / (2 * step)
    slope = slope - (weight * slope).sum() / weight.sum()
    bend = float((weight * (low - 2 * mid + high)).sum()) / step**2
    return min(float((weight * slope).square().sum().sqrt()) / max(bend, 1e-12), 1.0)
