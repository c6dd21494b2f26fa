"""The general pairwise-margin loss: a margin for every pair of label and other class."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.errors import DataError
from longtail.functional.losses import cross_entropy_classes, exclusive_logsumexp

__all__ = [
    "consistency_gap",
    "pairwise_additive",
    "pairwise_additive_classes",
    "pairwise_matrix",
    "pairwise_matrix_classes",
]


def pairwise_additive(logits: Tensor, target: Tensor, *, columns: Tensor, rows: Tensor) -> Tensor:
    """``log(1 + sum_{k != y} exp(z_k - z_y + D_yk))`` with ``D_yk = columns_k - rows_y``.

    Two vectors stand for the ``C x C`` margins: no matrix is formed.

    Args:
        logits: ``(B, C)``.
        target: ``(B,)`` class ids.
        columns: ``(C,)`` what a class brings as the other one.
        rows: ``(C,)`` what it takes off as the label; the same tensor as ``columns`` is
            cross-entropy of ``z + columns``.

    Reference: Menon et al., ICLR 2021, equation 11.
    """
    adjusted = logits + columns.to(logits.dtype)
    if rows is not columns:
        label = target[:, None]
        adjusted = adjusted.scatter(1, label, logits.gather(1, label) + rows.to(logits)[label])
    return F.cross_entropy(adjusted, target, reduction="none")


def pairwise_additive_classes(logits: Tensor, *, columns: Tensor, rows: Tensor) -> Tensor:
    """:func:`pairwise_additive` of every class. Shape ``(B, C)``."""
    if rows is columns:
        return cross_entropy_classes(logits, offset=columns)
    rest = exclusive_logsumexp(logits + columns.to(logits.dtype))
    return F.softplus(rest - logits - rows.to(logits.dtype))


def pairwise_matrix(logits: Tensor, target: Tensor, delta: Tensor) -> Tensor:
    """``log(1 + sum_{k != y} exp(z_k - z_y + delta_yk))`` for any margins.

    Args:
        logits: ``(B, C)``.
        target: ``(B,)`` class ids.
        delta: ``(C, C)`` with a zero diagonal; ``-inf`` leaves a pair out. Only the ``B`` rows of
            the labels are read.
    """
    margins = _square(delta, logits)[target]
    return F.cross_entropy(logits + margins, target, reduction="none")


def pairwise_matrix_classes(logits: Tensor, delta: Tensor) -> Tensor:
    """:func:`pairwise_matrix` of every class, one class after the other. Shape ``(B, C)``."""
    margins = _square(delta, logits)
    losses = [(logits + row).logsumexp(1) - logits[:, c] for c, row in enumerate(margins)]
    return torch.stack(losses, dim=1)


def _square(delta: Tensor, logits: Tensor) -> Tensor:
    """The margins in the type of the logits, or the error that says what is wrong with them."""
    c = logits.shape[1]
    if not isinstance(delta, Tensor) or delta.shape != (c, c):
        shown = f"shape {tuple(delta.shape)}" if isinstance(delta, Tensor) else type(delta).__name__
        raise DataError(
            f"margins for {c} classes must be a ({c}, {c}) tensor, not {shown}",
            "row y, column k: what class k gains on label y",
        )
    return delta.to(logits.dtype)


def consistency_gap(columns: Tensor, rows: Tensor, weight: Tensor, log_prior: Tensor) -> float:
    """How far margins ``columns_k - rows_y`` are from consistency with the balanced error.

    The loss ``w_y log(1 + sum exp(z_k - z_y + D_yk))`` is Fisher consistent for the balanced
    error when ``D_yk = log(w_k prior_k) - log(w_y prior_y)``.

    Args:
        columns: ``(C,)``, or ``(C, C)`` margins with ``rows`` zero.
        rows: ``(C,)``.
        weight: ``(C,)`` class weights ``w``.
        log_prior: ``(C,)``; classes at ``-inf`` are left out.

    Returns:
        The largest ``|D_yk - log(w_k prior_k / (w_y prior_y))|`` over ``k != y``; 0 is consistent.

    Reference: Menon et al., ICLR 2021, theorem 1.
    """
    wanted = (weight.double().log() + log_prior.double()).cpu()
    seen = torch.isfinite(wanted)
    wanted = wanted[seen]
    c, r = columns.double().cpu(), rows.double().cpu()[seen]
    if c.ndim == 2:
        gap = c[seen][:, seen] - r[:, None] - (wanted[None] - wanted[:, None])
        gap.fill_diagonal_(0)
        return float(gap.abs().max())
    other, own = c[seen] - wanted, r - wanted
    return max(_largest_gap(other, own), _largest_gap(-other, -own))


def _largest_gap(other: Tensor, own: Tensor) -> float:
    """``max_{k != y} (other_k - own_y)``: the smallest ``own`` is that of ``k`` at one ``k``."""
    low = own.sort()
    least = torch.where(torch.arange(len(own)) == low.indices[0], low.values[1], low.values[0])
    value = float((other - least).max())
    return value if math.isfinite(value) else math.inf
