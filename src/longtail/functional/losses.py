"""Losses of single rows as pure tensor functions: no state, no reduction, no class weights.

Each function takes ``logits (B, C)`` and ``target (B,)`` and returns ``(B,)``; its ``_classes``
twin returns ``(B, C)``, the loss each row would have were its label ``c``, from which the loss
of a soft target ``q`` follows as ``sum_c q_c l_c``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.functional.adjusted import adjusted_cross_entropy
from longtail.functional.fused import in_blocks

__all__ = [
    "bce_on_softmax",
    "bce_on_softmax_classes",
    "cross_entropy",
    "cross_entropy_classes",
    "exclusive_logsumexp",
    "focal",
    "focal_classes",
    "margin_cross_entropy",
    "margin_cross_entropy_classes",
    "modulate",
    "sigmoid_focal",
    "sigmoid_focal_classes",
]


def cross_entropy(logits: Tensor, target: Tensor, *, offset: Tensor | None = None) -> Tensor:
    """``logsumexp(z + a) - (z + a)_y``.

    Args:
        logits: ``(B, C)``.
        target: ``(B,)`` class ids.
        offset: ``(C,)`` additive constants ``a``; ``tau * log prior`` gives the logit-adjusted
            loss of Menon et al., ICLR 2021, and with ``tau = 1`` the balanced softmax of Ren
            et al., NeurIPS 2020.
    """
    if offset is None:
        return F.cross_entropy(logits, target, reduction="none")
    return adjusted_cross_entropy(logits, target, offset=offset)


def cross_entropy_classes(logits: Tensor, *, offset: Tensor | None = None) -> Tensor:
    """``-log softmax(z + a)``. Shape ``(B, C)``."""
    adjusted = logits if offset is None else logits + offset.to(logits.dtype)
    return -F.log_softmax(adjusted, dim=1)


def modulate(loss: Tensor, gamma: float, detach_modulator: bool = False) -> Tensor:
    """``(1 - p) ** gamma l`` of cross-entropies ``l = -log p``, elementwise."""
    if gamma == 0:
        return loss
    wrong = -torch.expm1(-loss)  # 1 - p_y
    if detach_modulator:
        wrong = wrong.detach()
    if gamma == 1:
        return wrong * loss
    if gamma == 2:
        return wrong.square() * loss
    return wrong.clamp_min(torch.finfo(loss.dtype).tiny) ** gamma * loss


def focal(
    logits: Tensor, target: Tensor, *, gamma: float = 2.0, detach_modulator: bool = False
) -> Tensor:
    """``(1 - p_y) ** gamma * -log p_y`` with ``p = softmax(z)``.

    Args:
        logits: ``(B, C)``.
        target: ``(B,)`` class ids.
        gamma: not negative; 0 is cross-entropy.
        detach_modulator: no gradient through ``(1 - p_y) ** gamma``.

    Reference: after Lin et al., *Focal loss for dense object detection*, ICCV 2017.
    """
    return modulate(cross_entropy(logits, target), gamma, detach_modulator)


def focal_classes(logits: Tensor, *, gamma: float = 2.0, detach_modulator: bool = False) -> Tensor:
    """:func:`focal` of every class. Shape ``(B, C)``."""
    return modulate(cross_entropy_classes(logits), gamma, detach_modulator)


def sigmoid_focal_classes(
    logits: Tensor, *, gamma: float = 2.0, detach_modulator: bool = False
) -> Tensor:
    """:func:`sigmoid_focal` of every class. Shape ``(B, C)``."""
    positive = modulate(F.softplus(-logits), gamma, detach_modulator)
    negative = modulate(F.softplus(logits), gamma, detach_modulator)
    return positive - negative + negative.sum(1, keepdim=True)


def sigmoid_focal(
    logits: Tensor, target: Tensor, *, gamma: float = 2.0, detach_modulator: bool = False
) -> Tensor:
    """``sum_j (1 - q_j) ** gamma * -log q_j`` with ``q_j = sigmoid(z_j)`` of the label, else
    ``sigmoid(-z_j)``: one binary focal loss a class, summed over classes.

    Shapes ``(B, C)``, ``(B,)`` to ``(B,)``. ``gamma`` 0 is binary cross-entropy.

    Reference: Lin et al., ICCV 2017.
    """
    sign = torch.ones_like(logits).scatter(1, target[:, None], -1.0)
    return modulate(F.softplus(sign * logits), gamma, detach_modulator).sum(1)


def bce_on_softmax_classes(logits: Tensor) -> Tensor:
    """:func:`bce_on_softmax` of every class. Shape ``(B, C)``."""
    log_p = F.log_softmax(logits, dim=1)
    rest = exclusive_logsumexp(logits).clamp_min(torch.finfo(logits.dtype).min / 4)  # one class
    other = logits.logsumexp(1, keepdim=True) - rest
    return (other.sum(1, keepdim=True) - other - log_p) / logits.shape[1]


def bce_on_softmax(logits: Tensor, target: Tensor) -> Tensor:
    """``(-log p_y - sum_{j != y} log(1 - p_j)) / C`` with ``p = softmax(z)``.

    The form that the widely copied port of the class-balanced loss computes as "softmax".
    Shapes ``(B, C)``, ``(B,)`` to ``(B,)``.
    """

    def plain(z: Tensor, y: Tensor) -> Tensor:
        return bce_on_softmax_classes(z).gather(1, y[:, None]).squeeze(1)

    return in_blocks(logits, target, _bce_on_softmax_block, plain)


def _bce_on_softmax_block(z: Tensor, label: Tensor, at: slice, out: Tensor) -> Tensor:
    """Losses of rows; ``C`` times the gradient is, with ``r_j = p_j / (1 - p_j)`` for ``j != y``,
    ``p_k - [k = y] + r_k - p_k sum_j r_j``.

    Where one class holds nearly all of the probability, ``1 - p`` of it is the sum of the others:
    its logarithm, and the share of each other class in it, come from the logits.
    """
    p, classes = torch.softmax(z, 1, out=out), z.shape[1]
    peak, top = p.max(1, keepdim=True)
    share = torch.softmax(z.scatter(1, top, torch.finfo(z.dtype).min), 1)
    second, runner = share.max(1, keepdim=True)
    log_peak = peak.log()
    log_rest = z.gather(1, runner) - second.log() - z.gather(1, top) + log_peak
    log_other = p.neg().log1p_().scatter_(1, top, log_rest).scatter_(1, label, 0.0)
    own = z.gather(1, label) - z.gather(1, top) + log_peak
    loss = (own + log_other.sum(1, keepdim=True)).squeeze(1)
    odds = torch.div(p, log_other.copy_(p).neg_().add_(1), out=log_other)
    odds.scatter_(1, top, 0.0).scatter_(1, label, 0.0)
    kept = 1 - odds.sum(1, keepdim=True)
    right = top == label
    out.mul_(kept).add_(odds).sub_(share.mul_(torch.where(right, 0.0, peak)))
    at_top = torch.where(right, peak * kept - 1, peak * (kept + 1))
    out.scatter_add_(1, label, torch.full_like(peak, -1.0)).scatter_(1, top, at_top)
    out.div_(classes)
    return loss.div_(-classes)


def margin_cross_entropy(logits: Tensor, target: Tensor, margins: Tensor) -> Tensor:
    """Cross-entropy after ``m_y`` is taken off the logit of the label.

    Args:
        logits: ``(B, C)``, already scaled.
        target: ``(B,)`` class ids.
        margins: ``(C,)`` in units of the logits (``scale * m`` for cosine heads).

    Reference: Cao et al., NeurIPS 2019 (LDAM).
    """
    return adjusted_cross_entropy(logits, target, label_shift=-margins[target])


def margin_cross_entropy_classes(logits: Tensor, margins: Tensor) -> Tensor:
    """:func:`margin_cross_entropy` of every class. Shape ``(B, C)``."""
    rest = exclusive_logsumexp(logits)
    return F.softplus(rest - logits + margins.to(logits.dtype))


def exclusive_logsumexp(logits: Tensor) -> Tensor:
    """``e_c = log sum_{j != c} exp z_j``. Shape ``(B, C)``.

    Exact to rounding also where one class holds nearly all of the probability: that column is
    summed without it, every other has ``p_c <= 1/2``.
    """
    top = logits.argmax(1, keepdim=True)
    rest = logits.scatter(1, top, -math.inf).logsumexp(1, keepdim=True)
    log_p = F.log_softmax(logits, dim=1).scatter(1, top, -math.inf)
    others = logits.logsumexp(1, keepdim=True) + torch.log1p(-log_p.exp())
    return others.scatter(1, top, rest)
