"""Margins, scales and noise that depend on class counts, and losses of rows made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.functional.adjusted import adjusted_cross_entropy
from longtail.functional.losses import exclusive_logsumexp
from longtail.functional.weights import as_counts

__all__ = [
    "cloud_widths",
    "clouded_angles",
    "enlarged_margin",
    "enlarged_margin_classes",
    "half_normal",
    "inverse_temperatures",
    "key_point_scales",
    "mirrored",
]


def inverse_temperatures(counts: Sequence[float] | Tensor, gamma: float) -> Tensor:
    """``1 / Delta_c = (n_c / n_max) ** gamma``: ``(C,)`` float64; 0 for a class without samples.

    Reference: Kini et al., *Label-imbalanced and group-sensitive classification under
    overparameterization*, NeurIPS 2021; with no offset Ye et al., arXiv 2001.01385 (CDT).
    """
    n = as_counts(counts)
    return torch.where(n > 0, (n / n.max()) ** gamma, 0.0)


def cloud_widths(counts: Sequence[float] | Tensor) -> Tensor:
    """``a_c = (log n_max - log n_c) / max_j (log n_max - log n_j)`` in ``[0, 1]``.

    Zeros for equal counts; one for a class without samples. ``(C,)`` float64.

    Reference: Li, Cheung and Lu, *Long-tailed visual recognition via Gaussian clouded logit
    adjustment*, CVPR 2022.
    """
    n = as_counts(counts)
    gap = torch.where(n > 0, n.max().log() - n.clamp_min(1e-300).log(), 0.0)
    width = gap / gap.max().clamp_min(1e-12)
    return torch.where(n > 0, width, 1.0)


def half_normal(uniform: Tensor) -> Tensor:
    """``|e|`` of standard normal ``e``: the quantiles of uniform numbers in ``(0, 1)``."""
    return torch.erfinv(uniform).mul_(math.sqrt(2))


def key_point_scales(counts: Sequence[float] | Tensor, base: float = 50.0) -> Tensor:
    """``s_c = log(base n_c / n_min) / log(base)``: one for the smallest class. ``(C,)`` float64.

    Reference: Li, Cheung and Hu, *Key point sensitive loss for long-tailed visual recognition*,
    TPAMI 2023.
    """
    n = as_counts(counts)
    present = n > 0
    smallest = torch.where(present, n, math.inf).min()
    ratio = torch.where(present, n, smallest) / smallest
    return 1 + ratio.log() / math.log(base)


def mirrored(values: Tensor, counts: Sequence[float] | Tensor) -> Tensor:
    """The value of the class at the same rank from the other end; classes with equal counts share.

    With classes sorted by count it is ``values.flip(0)``; published code flips by class id
    whatever the order of the classes.

    Args:
        values: ``(C,)``, equal for equal counts.
        counts: ``(C,)`` training counts, whose rank decides; classes without rows keep their own.
    """
    n = as_counts(counts).to(values.device)
    there = n > 0
    if not bool(there.all()):
        return values.masked_scatter(there, mirrored(values[there], n[there]))
    order = torch.argsort(n, descending=True, stable=True)
    swapped = torch.empty_like(values)
    swapped[order] = values[order.flip(0)]
    _, group = torch.unique(n, return_inverse=True)
    total = torch.zeros(int(group.max()) + 1, dtype=values.dtype, device=values.device)
    size = torch.zeros_like(total).index_add_(0, group, torch.ones_like(values))
    return (total.index_add_(0, group, swapped) / size)[group]


def enlarged_margin(
    logits: Tensor, target: Tensor, margins: Tensor, strength: float = 1.0
) -> Tensor:
    """Cross-entropy with ``-m_y + strength m_k`` added to the label, ``k`` the best other class.

    Args:
        logits: ``(B, C)``, already scaled.
        target: ``(B,)`` class ids.
        margins: ``(C,)`` in units of the logits.
        strength: 0 is LDAM; the published code has 1, which takes off part of the margin;
            negative values enlarge it.

    Reference: after Kato and Hotta, *Enlarged large margin loss for imbalanced classification*,
    arXiv 2306.09132, 2023.
    """
    rival = logits.detach().scatter(1, target[:, None], -math.inf).argmax(1)
    shift = strength * margins[rival] - margins[target]
    return adjusted_cross_entropy(logits, target, label_shift=shift)


def enlarged_margin_classes(logits: Tensor, margins: Tensor, strength: float = 1.0) -> Tensor:
    """:func:`enlarged_margin` of every class. Shape ``(B, C)``."""
    m = margins.to(logits.dtype)
    best = logits.detach().topk(2, dim=1).indices
    rival = m[best[:, :1]].expand_as(logits).scatter(1, best[:, :1], m[best[:, 1:]])
    rest = exclusive_logsumexp(logits)
    return F.softplus(rest - logits + m - strength * rival)


def clouded_angles(logits: Tensor, angles: Tensor, scale: float, *, easy: bool = False) -> Tensor:
    """``s cos(theta + d)`` of logits ``s cos(theta)``; past a half turn ``s (cos theta - sin d)``.

    Args:
        logits: ``(B, C)``.
        angles: ``(B, C)`` or ``(C,)`` ``d``, not negative.
        scale: ``s``.
        easy: turn where ``cos theta > 0`` only, and leave the other logits as they are.

    Reference: Li, Cheung and Lu, *Adjusting logit in Gaussian form for long-tailed visual
    recognition*, IEEE TAI 2024.
    """
    d = angles.to(logits.dtype)
    rest = (scale * scale - logits.square()).clamp_min(scale * scale * 1e-12)
    turned = logits * d.cos() - rest.sqrt() * d.sin()
    if easy:
        return torch.where(logits.detach() > 0, turned, logits)
    inside = logits.detach() > -scale * d.cos()
    return torch.where(inside, turned, logits - scale * d.sin())
