"""Numbers that come from outside: what they are, or an error that names them."""

from __future__ import annotations

import math
import operator
from numbers import Real
from typing import Any

from longtail.errors import ConfigError

__all__ = ["check_between", "check_whole", "is_finite", "is_whole"]


def is_finite(*values: Any) -> bool:
    """Whether each is a number at all, and a finite one."""
    try:
        return all(math.isfinite(v) for v in values)
    except (TypeError, ValueError, RuntimeError):
        return False


def is_whole(*values: Any) -> bool:
    """Whether each is a whole number, of whatever type; ``2.0`` is none."""
    try:
        return all(isinstance(operator.index(v), int) for v in values)
    except (TypeError, ValueError, RuntimeError):
        return False


def check_whole(name: str, value: Any, do: str = "", *, low: int | None = 1) -> None:
    """Refuse what is no whole number from ``low`` on (``None``: any); true and false are none.

    Args:
        name: of the argument.
        value: of the argument.
        do: second line of the error.
        low: the smallest there may be.
    """
    whole = is_whole(value) and not isinstance(value, bool)
    if not whole or (low is not None and value < low):
        limit = "" if low is None else f" from {low} on"
        raise ConfigError(
            f"{name} must be a whole number{limit}, not {value!r}", do or f"change {name}"
        )


def check_between(name: str, value: Any, advice: str) -> None:
    """Refuse what is no number between 0 and 1, both left out."""
    if not isinstance(value, Real) or not 0 < float(value) < 1:
        raise ConfigError(f"{name} must lie between 0 and 1, not {value!r}", advice)
