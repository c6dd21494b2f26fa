"""Losses of rows whose weights follow gradients, influence or uncertainty."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.functional.losses import cross_entropy, cross_entropy_classes, exclusive_logsumexp

__all__ = [
    "angular",
    "angular_cross_entropy",
    "angular_cross_entropy_classes",
    "equalized_bce",
    "equalized_bce_classes",
    "equalizing_weights",
    "influence",
    "influence_balanced",
    "influence_balanced_classes",
]


def equalizing_weights(
    ratio: Tensor, *, gamma: float = 12.0, mu: float = 0.8, alpha: float = 4.0
) -> tuple[Tensor, Tensor]:
    """Weights of negatives ``f(rho)`` and of positives ``1 + alpha (1 - f(rho))``.

    ``f(rho) = 1 / (1 + exp(-gamma (rho - mu)))``.

    Args:
        ratio: ``(C,)`` gradients from positives over gradients from negatives, ``rho``.
        gamma: steepness.
        mu: ratio at which negatives count half.
        alpha: how much positives gain.

    Returns:
        Two ``(C,)`` tensors.

    Reference: Tan et al., *Equalization loss v2*, CVPR 2021.
    """
    negative = torch.sigmoid(gamma * (ratio - mu))
    return negative, 1 + alpha * (1 - negative)


def equalized_bce(logits: Tensor, target: Tensor, negative: Tensor, positive: Tensor) -> Tensor:
    """``w+_y softplus(-z_y) + sum_{j != y} w-_j softplus(z_j)``: one-vs-rest, weighted.

    Args:
        logits: ``(B, C)``.
        target: ``(B,)`` class ids.
        negative: ``(C,)`` weights ``w-``.
        positive: ``(C,)`` weights ``w+``.
    """
    label = target[:, None]
    sign = torch.ones_like(logits).scatter_(1, label, -1.0)
    weight = negative.to(logits.dtype).expand_as(logits)
    weight = weight.scatter(1, label, positive.to(logits.dtype)[label])
    return (weight * F.softplus(sign * logits)).sum(1)


def equalized_bce_classes(logits: Tensor, negative: Tensor, positive: Tensor) -> Tensor:
    """:func:`equalized_bce` of every class. Shape ``(B, C)``."""
    others = negative.to(logits.dtype) * F.softplus(logits)
    own = positive.to(logits.dtype) * F.softplus(-logits)
    return own - others + others.sum(1, keepdim=True)


def influence(loss: Tensor, size: Tensor, *, alpha: float, epsilon: float) -> Tensor:
    """``alpha / (|p - onehot(y)|_1 |h|_1 + epsilon)``: less for rows that move the boundary more.

    Args:
        loss: cross-entropy of each row, from which ``|p - onehot(y)|_1 = 2 (1 - p_y)``.
        size: ``|h|_1``, of the same shape or broadcast to it.
        alpha: factor.
        epsilon: keeps the weight finite.
    """
    return alpha / (-2 * torch.expm1(-loss) * size + epsilon)


def _influenced(
    loss: Tensor, size: Tensor, alpha: float, epsilon: float, gamma: float, detach_weight: bool
) -> Tensor:
    weight = influence(loss, size, alpha=alpha, epsilon=epsilon)
    if detach_weight:
        weight = weight.detach()
    if gamma == 0:
        return weight * loss
    wrong = (-torch.expm1(-loss)).clamp_min(torch.finfo(loss.dtype).tiny)
    return weight * wrong**gamma * loss


def influence_balanced(
    logits: Tensor,
    target: Tensor,
    features: Tensor,
    *,
    alpha: float = 1000.0,
    epsilon: float = 1e-3,
    gamma: float = 0.0,
    detach_weight: bool = True,
) -> Tensor:
    """``alpha / (|p - onehot(y)|_1 |h|_1 + epsilon) (1 - p_y)^gamma (-log p_y)``.

    Args:
        logits: ``(B, C)``.
        target: ``(B,)`` class ids.
        features: ``(B, D)`` input of the head.
        alpha: factor.
        epsilon: keeps the weight finite.
        gamma: of the focal modulator; 0 has none.
        detach_weight: the weight is a factor without a gradient, as the paper has it; ``False``
            is the published code.

    Reference: Park et al., *Influence-balanced loss for imbalanced visual classification*,
    ICCV 2021.
    """
    loss, size = cross_entropy(logits, target), features.abs().sum(1)
    return _influenced(loss, size, alpha, epsilon, gamma, detach_weight)


def influence_balanced_classes(
    logits: Tensor,
    features: Tensor,
    *,
    alpha: float = 1000.0,
    epsilon: float = 1e-3,
    gamma: float = 0.0,
    detach_weight: bool = True,
) -> Tensor:
    """:func:`influence_balanced` of every class. Shape ``(B, C)``."""
    loss, size = cross_entropy_classes(logits), features.abs().sum(1, keepdim=True)
    return _influenced(loss, size, alpha, epsilon, gamma, detach_weight)


def angular(cosine: Tensor, multiplier: Tensor) -> Tensor:
    """``psi = (-1)^k cos(m theta) - 2 k`` with ``k = floor(m theta / pi)``, ``theta = arccos c``.

    Falls monotonically with the angle, also past ``m theta = pi``; ``m = 1`` is the cosine.

    Args:
        cosine: any shape; clamped to 1e-6 inside ``[-1, 1]``, where arccos has no slope.
        multiplier: ``m >= 1``, broadcast.

    Reference: after Liu et al., *Large-margin softmax loss*, ICML 2016.
    """
    angle = multiplier * torch.arccos(cosine.clamp(-1 + 1e-6, 1 - 1e-6))
    turns = torch.floor(angle.detach() / math.pi)
    return (1 - 2 * turns.remainder(2)) * torch.cos(angle) - 2 * turns


def angular_cross_entropy(
    logits: Tensor, target: Tensor, multiplier: Tensor, *, scale: float
) -> Tensor:
    """Cross-entropy with ``s psi(m_y, c_y)`` in the place of the label's ``s c_y``.

    Args:
        logits: ``(B, C)`` scaled cosines.
        target: ``(B,)`` class ids.
        multiplier: ``(C,)`` ``m``.
        scale: ``s``.
    """
    label = target[:, None]
    own = angular(logits.gather(1, label) / scale, multiplier.to(logits.dtype)[label])
    return F.cross_entropy(logits.scatter(1, label, scale * own), target, reduction="none")


def angular_cross_entropy_classes(logits: Tensor, multiplier: Tensor, *, scale: float) -> Tensor:
    """:func:`angular_cross_entropy` of every class. Shape ``(B, C)``."""
    own = scale * angular(logits / scale, multiplier.to(logits.dtype))
    return F.softplus(exclusive_logsumexp(logits) - own)
