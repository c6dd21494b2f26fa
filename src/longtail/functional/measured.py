"""Class weights that follow what a model shows: validation accuracy, spread of features."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from longtail.errors import ConfigError, DataError

__all__ = ["DYNAMIC", "difficulty_tau", "difficulty_weights", "effective_area", "mean_one"]

#: forms of the exponent that follow the accuracies
DYNAMIC = ("dynamic", "dynamic_paper")
EASIEST = 1e-3


def mean_one(weight: Tensor, present: Tensor | None = None) -> Tensor:
    """``C w / sum w`` over the classes that are present; weight zero for the others.

    Args:
        weight: ``(C,)``, positive where present.
        present: ``(C,)`` bool; ``None`` is every class.
    """
    present = torch.ones_like(weight, dtype=torch.bool) if present is None else present
    kept = torch.where(present, weight, 0.0)
    return kept * (present.sum() / kept.sum())


def difficulty_tau(accuracy: Tensor, form: str = "dynamic") -> float:
    """Exponent from how uneven ``(C,)`` class accuracies are.

    ``dynamic``: ``sigmoid(b)`` with ``b = max A / (min A + 0.01)``, in ``(0.5, 1)``, the form of
    the published code; ``dynamic_paper``: ``2 sigmoid(b - 1)``, in ``(0.5, 2)``: one where all
    classes are equally hard.

    Reference: Sinha et al., *Class-wise difficulty-balanced loss*, ACCV 2020.
    """
    uneven = float(accuracy.max() / (accuracy.min() + 0.01))
    if form == "dynamic":
        return 1 / (1 + math.exp(-uneven))
    if form == "dynamic_paper":
        return 2 / (1 + math.exp(1 - uneven))
    raise ConfigError(
        f"there is no exponent {form!r}", f"give a number, or one of {', '.join(DYNAMIC)}"
    )


def difficulty_weights(
    accuracy: Tensor, tau: float | str = "dynamic", present: Tensor | None = None
) -> Tensor:
    """``w_c ~ d_c ** tau`` with difficulty ``d_c = max(1 - A_c, 0.001)``, of mean one.

    Args:
        accuracy: ``(C,)`` class accuracies in ``[0, 1]``.
        tau: exponent, or one of :data:`DYNAMIC`.
        present: ``(C,)`` bool; others get weight zero and no say in ``tau``.

    Returns:
        ``(C,)`` float64.

    Reference: Sinha et al., *Class-wise difficulty-balanced loss*, ACCV 2020.
    """
    a = accuracy.to(torch.float64)
    known = torch.ones_like(a, dtype=torch.bool) if present is None else present
    seen = a[known]
    if not bool((torch.isfinite(seen) & (seen >= 0) & (seen <= 1)).all()):
        raise DataError(
            "class accuracies must lie in [0, 1]",
            f"got {accuracy.tolist()[:12]}",
        )
    power = difficulty_tau(seen, tau) if isinstance(tau, str) else tau
    hard = torch.where(known, 1 - a, 1.0).clamp_min(EASIEST)
    return mean_one(hard**power, known)


def effective_area(
    features: Tensor, labels: Tensor, batch: Tensor, means: Tensor, *, cap: bool = False
) -> Tensor:
    """How many uncorrelated samples the samples of each class are worth, summed over batches.

    In a batch the ``m`` samples of a class, centred by the class mean, have the matrix ``R`` of
    pairwise cosines; they are worth ``1 / (a' R a)`` with ``a = 1 / m``: one where all point the
    same way, ``m`` where they are uncorrelated, more where they cancel out, ``m^2`` at most (two
    opposite samples, which a class of two in one batch always is, have no bound of their own).
    As ``a' R a = |mean of the unit vectors|^2`` no matrix is made.

    Args:
        features: ``(N, D)``.
        labels: ``(N,)`` class ids.
        batch: ``(N,)`` number of the batch of each row, from 0.
        means: ``(C, D)`` class means over all training rows.
        cap: worth at most ``m``.

    Returns:
        ``(C,)`` float64; zero for a class without rows.

    Reference: Chen et al., *AREA: adaptive reweighting via effective area for long-tailed
    classification*, ICCV 2023.
    """
    classes = len(means)
    centred = features - means.to(features.dtype)[labels]
    length = centred.norm(dim=1, keepdim=True)
    unit = torch.where(length > 0, centred / length.clamp_min(1e-30), 0.0)
    cell, where = torch.unique(batch * classes + labels, return_inverse=True)
    m = torch.bincount(where, minlength=len(cell)).to(torch.float64)
    total = torch.zeros((len(cell), features.shape[1]), dtype=features.dtype)
    square = total.to(features.device).index_add_(0, where, unit).to(torch.float64).square().sum(1)
    worth = m.square() / square.clamp_min(1.0)
    if cap:
        worth = torch.minimum(worth, m)
    spread = torch.zeros_like(m).index_add_(0, where, length[:, 0].to(m.dtype))
    worth = torch.where((m == 1) | (spread == 0), 1.0, worth)  # one sample, or copies of one
    return worth.new_zeros(classes).index_add_(0, cell % classes, worth)
