"""Experts with priors of their own, and branches with inputs of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.checks import is_finite
from longtail.errors import ConfigError, DataError
from longtail.functional.precision import widen
from longtail.functional.weights import as_counts

__all__ = [
    "bbn_alpha",
    "bbn_features",
    "bbn_loss",
    "diverse_adjustments",
    "diverse_experts_loss",
    "inverse_prior",
]


def inverse_prior(prior: Tensor) -> Tensor:
    """The values of the prior given out in reversed order of frequency.

    The class of rank ``i`` gets the value of rank ``C - 1 - i``; equal values are ranked by
    class id. Without ties renaming the classes renames the result.

    Args:
        prior: ``(C,)``.

    Reference: Zhang et al., *Self-supervised aggregation of diverse experts*, NeurIPS 2022.
    """
    value, order = torch.sort(prior, stable=True)
    out = torch.empty_like(prior)
    out[order] = value.flip(0)
    return out


def diverse_adjustments(counts: Sequence[float] | Tensor, tau: float = 2.0) -> Tensor:
    """What is added to the logits of the three diverse experts in training.

    ``(0, log prior, log prior - tau log inverse_prior)``: the first expert answers to the
    training distribution, the second to the uniform, the third to the reversed one. A class
    without samples has ``-inf`` in the last two.

    Args:
        counts: ``(C,)`` training counts.
        tau: strength of the reversal; 2 for CIFAR-LT and ImageNet-LT, 1 for Places and iNat.

    Returns:
        ``(3, C)`` float64.

    Reference: Zhang et al., NeurIPS 2022 (SADE).
    """
    if not is_finite(tau):
        raise ConfigError(f"tau must be finite, not {tau}", "the published values are 1 and 2")
    n = as_counts(counts)
    present = n > 0
    prior = n[present] / n.sum()
    out = torch.full((3, len(n)), -math.inf, dtype=n.dtype, device=n.device)
    out[0] = 0.0
    out[1, present] = prior.log()
    out[2, present] = prior.log() - tau * inverse_prior(prior).log()
    return out


def diverse_experts_loss(
    expert_logits: Tensor, target: Tensor, adjustments: Tensor, *, reduction: str = "mean"
) -> Tensor:
    """``sum_e CE(z_e + a_e, y)``: a sum over experts, a mean over rows.

    Args:
        expert_logits: ``(E, B, C)``.
        target: ``(B,)`` class ids.
        adjustments: ``(E, C)``, see :func:`diverse_adjustments`.
        reduction: over rows: ``mean``, ``sum`` or ``none``.
    """
    if expert_logits.ndim != 3 or adjustments.shape != expert_logits.shape[::2]:
        raise DataError(
            f"adjustments {tuple(adjustments.shape)} do not fit expert logits "
            f"{tuple(expert_logits.shape)}",
            "expert logits are (E, B, C), adjustments (E, C): one prior for each expert",
        )
    experts, rows, classes = expert_logits.shape
    kind = expert_logits.device.type
    with torch.autocast(kind, enabled=False):
        z = widen(expert_logits)
        z = z + adjustments.to(z.dtype)[:, None]
        every = target.expand(experts, rows).reshape(-1)
        if reduction == "none":
            loss = F.cross_entropy(z.reshape(-1, classes), every, reduction="none")
            return loss.reshape(experts, rows).sum(0)
        total = F.cross_entropy(z.reshape(-1, classes), every, reduction=reduction)
    return total * experts if reduction == "mean" else total


def bbn_alpha(epoch: Tensor | float, epochs: int) -> Tensor:
    """``1 - (t / T) ** 2``: the share of the conventional branch.

    Args:
        epoch: ``t``, 0-based.
        epochs: ``T``.

    Returns:
        0-d, float32 or wider.

    Reference: Zhou et al., *BBN: bilateral-branch network*, CVPR 2020.
    """
    if epochs < 1:
        raise ConfigError(f"a schedule over {epochs} epochs does not exist", "give T >= 1")
    t = epoch if isinstance(epoch, Tensor) else torch.tensor(epoch, dtype=torch.float64)
    return 1 - (t / epochs) ** 2


def bbn_features(conventional: Tensor, rebalanced: Tensor, alpha: Tensor | float) -> Tensor:
    """``2 cat(alpha f_c, (1 - alpha) f_r)``; with ``alpha = 1/2`` the form of the test.

    Args:
        conventional: ``(B, D)`` features of the uniformly drawn rows.
        rebalanced: ``(B, D)`` features of the reversely drawn rows.
        alpha: share of the first.

    Returns:
        ``(B, 2D)``.
    """
    if conventional.shape != rebalanced.shape:
        raise DataError(
            f"the branches differ in shape: {tuple(conventional.shape)} and "
            f"{tuple(rebalanced.shape)}",
            "both branches give (B, D)",
        )
    return torch.cat((2 * alpha * conventional, 2 * (1 - alpha) * rebalanced), dim=1)


def bbn_loss(
    logits: Tensor, conventional: Tensor, rebalanced: Tensor, alpha: Tensor | float
) -> Tensor:
    """``alpha CE(z, y_c) + (1 - alpha) CE(z, y_r)``, each a mean over rows.

    Args:
        logits: ``(B, C)``.
        conventional: ``(B,)`` labels of the uniformly drawn rows.
        rebalanced: ``(B,)`` labels of the reversely drawn rows.
        alpha: share of the first.
    """
    first, second = F.cross_entropy(logits, conventional), F.cross_entropy(logits, rebalanced)
    return alpha * first + (1 - alpha) * second
