"""What a loss is called with, brought into shape."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from longtail.errors import ConfigError, DataError

__all__ = ["as_rows", "spread_weights", "weight_vector"]


def as_rows(x: Tensor) -> Tensor:
    """``(N, K, d1, ...)`` as ``(N d1 ..., K)``."""
    return x.movedim(1, -1).reshape(-1, x.shape[1]) if x.ndim > 2 else x


def spread_weights(sample_weight: Tensor, shape: torch.Size) -> Tensor:
    """``(N,)`` or ``(N, d1, ...)`` weights as one number a row of the flattened batch."""
    if sample_weight.shape == shape:
        return sample_weight.reshape(-1)
    if sample_weight.ndim == 1 and len(sample_weight) == shape[0]:
        return sample_weight.reshape(-1, *[1] * (len(shape) - 1)).expand(shape).reshape(-1)
    raise DataError(
        f"sample weights of shape {tuple(sample_weight.shape)} do not fit {tuple(shape)} samples",
        "give one weight for each sample",
    )


def weight_vector(weight: Tensor | Sequence[float]) -> Tensor:
    """Class weights as ``(C,)`` float64, or the error that says what is wrong with them."""
    try:
        vector = torch.as_tensor(weight, dtype=torch.float64).detach().clone()
    except (TypeError, ValueError, RuntimeError):
        raise ConfigError(
            f"class weights are no list of numbers: {str(weight)[:80]!r}",
            "give one weight for each class, or a part such as EffectiveNumber()",
        ) from None
    good = vector.ndim == 1 and bool(torch.isfinite(vector).all())
    if not good or bool((vector < 0).any()) or float(vector.sum()) == 0:
        raise ConfigError(
            "class weights must be (C,) finite numbers, not negative and not all zero; "
            f"got shape {tuple(vector.shape)}",
            "give one weight for each class, or a part such as EffectiveNumber()",
        )
    return vector
