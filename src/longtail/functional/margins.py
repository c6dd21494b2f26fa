"""Per-class margins as functions of training counts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from longtail.checks import is_finite
from longtail.errors import ConfigError
from longtail.functional.weights import as_counts

__all__ = ["ldam_margins"]


def ldam_margins(
    counts: Sequence[float] | Tensor, max_margin: float = 0.5, power: float = 0.25
) -> Tensor:
    """``m_c = max_margin * (n_c / n_min) ** -power``: the smallest class has the largest margin.

    Args:
        counts: ``(C,)`` training counts in class-id order.
        max_margin: margin of the smallest class that has samples, in units of the cosine.
        power: exponent, not negative.

    Returns:
        ``(C,)`` float64; zero for a class without samples.

    Reference: Cao et al., *Learning imbalanced datasets with label-distribution-aware margin
    loss*, NeurIPS 2019.
    """
    if not (is_finite(max_margin) and max_margin >= 0):
        raise ConfigError(
            f"the largest margin must be finite and not negative, not {max_margin}",
            "0.5 is the published value",
        )
    if not (is_finite(power) and power >= 0):
        raise ConfigError(
            f"the exponent must be finite and not negative, not {power}",
            "0.25 is the published value",
        )
    n = as_counts(counts)
    present = n > 0
    smallest = torch.where(present, n, math.inf).min()
    ratio = torch.where(present, n, smallest) / smallest
    return torch.where(present, max_margin * ratio**-power, 0.0)
