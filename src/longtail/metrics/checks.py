"""What metrics refuse of the numbers they are given."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from longtail.errors import DataError

__all__ = ["numbers", "whole_numbers"]


def numbers(what: str, values: ArrayLike) -> np.ndarray:
    """As float64; words and lists of unequal length are refused."""
    try:
        found = _array(values).astype(np.float64)
    except (TypeError, ValueError):
        found = None
    if found is None:
        raise DataError(f"{what} must be numbers, not {str(values)[:80]!r}", "give a list of them")
    return found


def whole_numbers(what: str, values: ArrayLike) -> np.ndarray:
    """A list of class ids ``(N,)`` as int64."""
    try:
        found = _array(values)
    except (TypeError, ValueError):
        found = np.asarray("")
    if found.ndim != 1 or (len(found) and not np.issubdtype(found.dtype, np.integer)):
        raise DataError(
            f"{what} have dtype {found.dtype} and shape {found.shape}",
            "give one class id for each row, as whole numbers (N,)",
        )
    return found.astype(np.int64)


def _array(values: ArrayLike) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
