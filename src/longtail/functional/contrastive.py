"""Contrastive losses as pure tensor functions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from longtail.checks import is_finite
from longtail.errors import ConfigError, DataError
from longtail.functional.precision import widen
from longtail.functional.weights import as_counts

__all__ = ["paco_loss"]


def paco_loss(
    center_logits: Tensor,
    features: Tensor,
    labels: Tensor,
    *,
    log_prior: Tensor | None = None,
    counts: Sequence[float] | Tensor | None = None,
    alpha: float = 0.05,
    beta: float = 1.0,
    gamma: float = 1.0,
    temperature: float = 0.07,
    supt: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    """Parametric contrastive loss: class centres and samples in one softmax.

    For anchor ``i``, with centre logits ``u = (c_i + log prior) / supt`` and similarities
    ``s_ij = f_i . f_j / temperature`` of all other rows ``j``::

        Z = sum_c exp u_c + gamma sum_{j != i} exp s_ij
        L = log Z - (beta u_y + alpha sum_{j: y_j = y} s_ij) / (beta + alpha P_i)

    where ``P_i`` counts the other rows of the same class. The positives are summed by class,
    so that no mask of pairs is built.

    Args:
        center_logits: ``(A, C)``; the ``A`` anchors are the first rows of ``features``.
        features: ``(M, d)`` of norm one: anchors, keys, queue (``M = 2B + K``).
        labels: ``(M,)`` class ids; -1 is an empty slot of the queue, which does not take part.
            Anchors have a label.
        log_prior: ``(C,)`` added to the centre logits, or
        counts: ``(C,)`` training counts that give it; neither for balanced data.
        alpha: weight of each positive row.
        beta: weight of the class centre.
        gamma: weight of the other rows in the denominator.
        temperature: of the similarities.
        supt: temperature of the centre logits.
        reduction: ``mean``, ``sum`` or ``none`` over anchors.

    Returns:
        0-d, or ``(A,)``; float32 or wider.

    Reference: Cui et al., *Parametric contrastive learning*, ICCV 2021, and *Generalized
    parametric contrastive learning*, TPAMI 2023.
    """
    _check(center_logits, features, labels, log_prior, counts)
    _check_numbers(
        reduction, alpha=alpha, gamma=gamma, beta=beta, temperature=temperature, supt=supt
    )
    if log_prior is None and counts is not None:
        n = as_counts(counts)
        log_prior = (n / n.sum()).log()
    with torch.autocast(features.device.type, enabled=False):
        centers = widen(center_logits)
        if log_prior is not None:
            centers = centers + log_prior.to(centers.device, centers.dtype)
        how = (alpha, beta, gamma, temperature)
        rows = _rows(centers / supt, widen(features), labels, how)
    return rows.mean() if reduction == "mean" else rows.sum() if reduction == "sum" else rows


def _rows(
    centers: Tensor, features: Tensor, labels: Tensor, how: tuple[float, float, float, float]
) -> Tensor:
    alpha, beta, gamma, temperature = how
    anchors, classes = centers.shape
    own = labels[:anchors].long()
    filled = labels >= 0
    safe = torch.where(filled, labels, 0).long()
    similar = features[:anchors] @ features.T / temperature
    hidden = (~filled).expand(anchors, -1).clone()
    hidden.diagonal().fill_(True)
    others = similar.masked_fill(hidden, -math.inf) + math.log(gamma) if gamma else None
    denominator = torch.cat((centers, others), 1) if others is not None else centers
    log_z = denominator.logsumexp(1)

    share = filled.to(features.dtype)
    total = features.new_zeros(classes, features.shape[1])
    total = total.index_add(0, safe, features * share[:, None])
    number = share.new_zeros(classes).index_add(0, safe, share)
    anchor = features[:anchors]
    positive = (anchor * (total[own] - anchor)).sum(1) / temperature
    center = centers.gather(1, own[:, None]).squeeze(1)
    weight = beta + alpha * (number[own] - 1)
    return log_z - (beta * center + alpha * positive) / weight


def _check_numbers(reduction: str, **numbers: float) -> None:
    for name, value in numbers.items():
        low = name in ("alpha", "gamma")
        if not is_finite(value) or value < 0 or (value == 0 and not low):
            raise ConfigError(
                f"{name} must be {'at least' if low else 'greater than'} 0, not {value}",
                f"change {name}",
            )
    if reduction not in ("mean", "sum", "none"):
        raise ConfigError(f"there is no reduction {reduction!r}", "choose mean, sum or none")


def _check(
    centers: Tensor,
    features: Tensor,
    labels: Tensor,
    log_prior: Tensor | None,
    counts: Sequence[float] | Tensor | None,
) -> None:
    shapes = f"centre logits {tuple(centers.shape)}, features {tuple(features.shape)}, "
    shapes += f"labels {tuple(labels.shape)}"
    if (
        centers.ndim != 2
        or features.ndim != 2
        or labels.shape != features.shape[:1]
        or len(features) < len(centers)
    ):
        raise DataError(f"these do not fit together: {shapes}", "give (A, C), (M, d), (M,), M >= A")
    if log_prior is not None and counts is not None:
        raise ConfigError("both log_prior and counts were given", "give one of them")
    length = len(counts) if counts is not None else None
    length = len(log_prior) if log_prior is not None else length
    if length is not None and length != centers.shape[1]:
        raise DataError(
            f"{length} classes in the prior, {centers.shape[1]} in the centre logits",
            "give one count for each class",
        )
