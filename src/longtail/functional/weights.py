"""Class weights as functions of training counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from longtail.checks import is_finite
from longtail.errors import ConfigError, DataError
from longtail.labels import as_counts

__all__ = [
    "as_counts",
    "effective_count",
    "effective_number",
    "image_repeat_factor",
    "inverse_frequency",
    "repeat_factor",
]


def inverse_frequency(counts: Sequence[float] | Tensor, power: float = 1.0) -> Tensor:
    """``w_c ~ n_c ** -power``, of mean one.

    ``power`` 1 is inverse frequency, 1/2 its square root, any other the generalised form of
    Zhang et al., CVPR 2021. A count of zero gets weight zero.

    Args:
        counts: ``(C,)`` training counts in class-id order.
        power: exponent, finite.

    Returns:
        ``(C,)`` float64.
    """
    if not is_finite(power):
        raise ConfigError(f"power must be finite, not {power}", "1.0 is inverse frequency")
    n = as_counts(counts)
    log_weight = -power * n.clamp_min(torch.finfo(n.dtype).tiny).log()
    present = n > 0
    log_weight = torch.where(present, log_weight, -math.inf)
    return (log_weight - log_weight.logsumexp(0)).exp() * present.sum()


def effective_count(counts: Sequence[float] | Tensor, beta: float = 0.9999) -> Tensor:
    """``E_c = (1 - beta ** n_c) / (1 - beta)``, the effective number of samples.

    Args:
        counts: ``(C,)`` training counts.
        beta: in ``[0, 1)``; 0 gives one for every class, towards 1 it gives the count.

    Returns:
        ``(C,)`` float64; zero for a class without samples.

    Reference: Cui et al., *Class-balanced loss based on effective number of samples*,
    CVPR 2019.
    """
    if not is_finite(beta) or not 0 <= beta < 1:
        raise ConfigError(f"beta must lie in [0, 1), not {beta}", "0.9999 is the usual value")
    n = as_counts(counts)
    if beta == 0:
        return (n > 0).to(n.dtype)
    return -torch.expm1(n * math.log(beta)) / (1 - beta)


def effective_number(counts: Sequence[float] | Tensor, beta: float = 0.9999) -> Tensor:
    """``w_c ~ 1 / E_c``, of mean one; zero for a class without samples.

    See :func:`effective_count`. Shape ``(C,)`` float64.
    """
    effective = effective_count(counts, beta)
    present = effective > 0
    weight = torch.where(present, 1 / effective.clamp_min(1e-300), 0.0)
    return weight * (present.sum() / weight.sum())


def repeat_factor(frequency: Any, threshold: float = 1e-3) -> Tensor:
    """``r_c = max(1, sqrt(t / f_c))``; 1 for a class that never comes.

    Args:
        frequency: ``(C,)`` share of the images that contain each class, in ``[0, 1]``.
        threshold: ``t``, above 0: classes rarer than it are repeated.

    Returns:
        ``(C,)`` float64.

    Reference: Gupta, Dollar and Girshick, *LVIS*, CVPR 2019.
    """
    if not is_finite(threshold) or threshold <= 0:
        raise ConfigError(f"the threshold must be above 0, not {threshold}", "0.001 is published")
    f = torch.as_tensor(frequency, dtype=torch.float64)
    if not bool(((f >= 0) & (f <= 1)).all()):
        raise DataError(
            "class frequencies must lie in [0, 1]", "divide the images of each class by all images"
        )
    repeats = (threshold / f.clamp_min(1e-300)).sqrt().clamp_min(1.0)
    return torch.where(f > 0, repeats, 1.0)


def image_repeat_factor(
    labels: Sequence[Sequence[int]], num_classes: int, threshold: float = 1e-3
) -> Tensor:
    """``r_I = max over the classes of an image of r_c``; 1 for an image without any.

    Args:
        labels: class ids of each of ``N`` images.
        num_classes: ``C``.
        threshold: see :func:`repeat_factor`.

    Returns:
        ``(N,)`` float64; its sum is the mean length of an epoch.
    """
    own = [sorted(set(classes)) for classes in labels]
    found = torch.tensor([c for classes in own for c in classes], dtype=torch.int64)
    images = torch.bincount(found, minlength=num_classes).double()
    factor = repeat_factor(images / max(1, len(own)), threshold).tolist()
    repeats = [max((factor[c] for c in classes), default=1.0) for classes in own]
    return torch.tensor(repeats, dtype=torch.float64)
