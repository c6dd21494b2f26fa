"""Losses that hold back the negative gradients which frequent classes send to rare ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.functional.adjusted import adjusted_cross_entropy
from longtail.functional.fused import in_blocks, softmax_block

__all__ = ["equalized", "equalized_classes", "seesaw"]


def equalized(logits: Tensor, target: Tensor, log_weight: Tensor) -> Tensor:
    """``log sum_j w_j exp z_j - z_y`` with ``w_y = 1``.

    Args:
        logits: ``(B, C)``.
        target: ``(B,)`` class ids.
        log_weight: ``(C,)`` or ``(B, C)`` ``log w_j`` of a class that is not the label; ``-inf``
            takes it out of the denominator.

    Reference: Tan et al., *Equalization loss for long-tailed object recognition*, CVPR 2020.
    """
    given = log_weight.detach().to(logits.dtype).expand_as(logits)
    offset = given.scatter(1, target[:, None], 0.0)
    return adjusted_cross_entropy(logits, target, offset=offset)


def equalized_classes(logits: Tensor, log_weight: Tensor) -> Tensor:
    """:func:`equalized` of every class. Shape ``(B, C)``."""
    given = log_weight.detach().to(logits.dtype).expand_as(logits)
    rest = torch.where(given == -math.inf, -math.inf, logits + given)
    missing = torch.log(-torch.expm1(given))  # what the label's own column still lacks
    return torch.logaddexp(rest.logsumexp(1, keepdim=True), logits + missing) - logits


def seesaw(
    logits: Tensor,
    target: Tensor,
    counts: Tensor,
    *,
    p: float = 0.8,
    q: float = 2.0,
    floor: float = 0.01,
) -> Tensor:
    """Cross-entropy of ``z_j + log S_j`` with mitigation and compensation factors in ``S``.

    ``log S_j = p min(0, log N_j - log N_y) + q max(0, log p_j - log max(p_y, floor))`` for
    ``j != y``, and 0 at the label. ``S`` gets no gradient.

    Args:
        logits: ``(B, C)``.
        target: ``(B,)`` class ids.
        counts: ``(C,)`` samples ``N`` a class; under one they count as one.
        p: exponent of mitigation: less punishment of classes rarer than the label.
        q: exponent of compensation: more for classes that are mistaken for the label.
        floor: least probability of the label in the ratio.

    Time and memory ``O(B C)``: no ``(C, C)`` matrix of ratios is made.

    Reference: Wang et al., *Seesaw loss for long-tailed instance segmentation*, CVPR 2021.
    """
    log_n = counts.detach().clamp_min(1).log().to(logits.dtype)
    least = math.log(floor)

    def tilted(z: Tensor, label: Tensor, scratch: Tensor) -> Tensor:
        own = z.gather(1, label)
        top = z.amax(1, keepdim=True)
        torch.softmax(z, 1, out=scratch)
        total = top - scratch.amax(1, keepdim=True).log_()
        t = (z - torch.maximum(own, total + least)).clamp_min_(0).mul_(q).add_(z)
        t.add_((log_n - log_n[label]).clamp_max_(0), alpha=p)
        return t.scatter_(1, label, own)

    def block(z: Tensor, label: Tensor, at: slice, out: Tensor) -> Tensor:
        return softmax_block(tilted(z, label, out), label, out)

    def plain(z: Tensor, target: Tensor) -> Tensor:
        held, label = z.detach(), target[:, None]
        log_p = F.log_softmax(held, 1)
        gain = (log_p - log_p.gather(1, label).clamp_min(least)).clamp_min(0) * q
        offset = gain + (log_n - log_n[label]).clamp_max(0) * p
        return F.cross_entropy(z + offset.scatter(1, label, 0.0), target, reduction="none")

    return in_blocks(logits, target, block, plain)
