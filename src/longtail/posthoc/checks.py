"""What is refused of logits, labels and numbers before anything is learned from them."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from longtail.errors import ConfigError, DataError

__all__ = [
    "check_labels",
    "check_logits",
    "check_rows",
    "check_strength",
    "numbers",
    "vector",
]


def check_strength(name: str, value: Any, advice: str) -> None:
    """Refuse what is no number in ``[0, 100]``."""
    if not isinstance(value, Real) or not 0 <= float(value) <= 100:
        raise ConfigError(f"{name} must lie in [0, 100], not {value!r}", advice)


def check_logits(logits: Tensor, classes: int | None) -> None:
    """Refuse what is no ``(..., C)`` of floating-point numbers; ``None``: any ``C``."""
    if not logits.is_floating_point() or not logits.ndim:
        raise DataError(
            f"logits must be floating-point rows of class scores, not {logits.dtype} "
            f"{tuple(logits.shape)}",
            "give one row of class scores for each sample",
        )
    if classes is not None and logits.shape[-1] != classes:
        raise DataError(
            f"logits have {logits.shape[-1]} classes, the class statistics {classes}",
            "give the outputs of the model whose training counts these are",
        )


def check_rows(logits: Tensor, what: str, *, live: Tensor | None = None) -> None:
    """Refuse rows that are not finite; a class that is not ``live`` may stand at ``-inf``."""
    bad = ~torch.isfinite(logits)
    if live is not None:
        bad &= ~(torch.isneginf(logits) & ~live.to(logits.device))
    rows = int(bad.any(-1).sum())
    if rows:
        raise DataError(
            f"the logits of {rows} {what} rows are not finite",
            "look for a diverged model or an overflow in half precision",
        )


def check_labels(target: Tensor, rows: int, classes: int) -> None:
    """Refuse what is no class id in ``[0, C)`` for each of the rows."""
    if not isinstance(target, Tensor):
        raise DataError(f"labels are no tensor but {type(target).__name__}", "give a tensor (N,)")
    whole = not target.is_floating_point() and not target.is_complex()
    if target.shape != (rows,) or not whole or target.dtype == torch.bool:
        raise DataError(
            f"labels of {target.dtype} {tuple(target.shape)} do not fit {rows} rows of logits",
            "give one integer class id for each row",
        )
    outside = int(((target < 0) | (target >= classes)).sum())
    if outside:
        raise DataError(
            f"{outside} rows have a label outside [0, {classes})",
            "map labels to class ids, and leave rows without one out",
        )


def vector(name: str, value: Any, classes: int | None = None) -> Tensor:
    """``(C,)`` float64 of numbers that are finite, not negative and not all zero."""
    v = numbers(name, value)
    if v.ndim != 1 or (classes is not None and len(v) != classes):
        raise DataError(
            f"{name} must have {'C' if classes is None else classes} entries, not shape {tuple(v.shape)}",
            "give one number for each class",
        )
    total = float(v.sum())  # NaN where an entry is
    if not 0 < total < math.inf or (v < 0).any():
        raise DataError(
            f"{name} must be finite, not negative and not all zero",
            f"got {v.tolist()[:8]}",
        )
    return v


def numbers(name: str, value: Any) -> Tensor:
    """Numbers of any shape as float64; words, ``None`` and lists of unequal length are refused."""
    try:
        v = torch.as_tensor(value).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        v = None
    if v is None or v.is_complex():
        shown = repr(value)
        raise DataError(
            f"{name} is no list of numbers: {shown[:80]}{'...' if len(shown) > 80 else ''}",
            "give one number for each class",
        )
    return v.double()
