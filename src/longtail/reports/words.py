"""Numbers as a reader sees them: one place for every rounding and every dash.

A value that was not measured is ``None`` or NaN and is shown as ``-``, never as zero.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = [
    "DASH",
    "amount",
    "clean",
    "decimal",
    "duration",
    "embedded_json",
    "integer",
    "interval",
    "p_value",
    "percent",
    "plus_minus",
    "points",
    "readable",
]

DASH = "-"


def _number(value: Any) -> float | None:
    if value is None or isinstance(value, bool | str):
        return None
    out = float(value)
    return out if math.isfinite(out) else None


def percent(value: Any, digits: int = 1) -> str:
    """A share in ``[0, 1]`` as a number of percent, without the sign: ``0.743 -> 74.3``."""
    number = _number(value)
    return DASH if number is None else f"{100 * number:.{digits}f}"


def points(value: Any, digits: int = 1) -> str:
    """A difference of shares in points, always signed: ``-0.0123 -> \N{MINUS SIGN}1.2``."""
    number = _number(value)
    if number is None:
        return DASH
    text = f"{100 * number:+.{digits}f}"
    if float(text) == 0:
        return f"{0:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def decimal(value: Any, digits: int = 3) -> str:
    """A plain decimal number."""
    number = _number(value)
    return DASH if number is None else f"{number:.{digits}f}"


def integer(value: Any) -> str:
    """A whole number with thin groups of three: ``1234567 -> 1 234 567``."""
    number = _number(value)
    return (
        DASH if number is None else f"{round(number):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    )


def amount(value: Any) -> str:
    """A large count in three figures: ``1 234 567 -> 1.23 M``; small ones in full."""
    number = _number(value)
    if number is None:
        return DASH
    for unit, size in (("G", 1e9), ("M", 1e6)):
        if abs(number) >= size:
            return f"{number / size:.3g} {unit}"
    return integer(number)


def duration(value: Any) -> str:
    """Seconds as a reader says them: ``4.2 s``, ``3 min 05 s``, ``2 h 10 min``."""
    number = _number(value)
    if number is None:
        return DASH
    if number < 60:
        return f"{number:.1f} s"
    minutes, seconds = divmod(round(number), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def interval(bounds: Any, digits: int = 1, *, signed: bool = False) -> str:
    """A 95 % interval of shares: ``(0.701, 0.783) -> 70.1 to 78.3``."""
    if bounds is None or len(bounds) != 2:
        return DASH
    show = points if signed else percent
    low, high = show(bounds[0], digits), show(bounds[1], digits)
    return DASH if DASH in (low, high) else f"{low} to {high}"


def plus_minus(mean: Any, deviation: Any, digits: int = 1) -> str:
    """A mean over seeds and its deviation: ``74.3 ± 0.8``; the mean alone for one seed."""
    text = percent(mean, digits)
    if text == DASH or _number(deviation) is None:
        return text
    return f"{text} ± {percent(deviation, digits)}"


def p_value(value: Any) -> str:
    """A p-value in three decimals; the smallest as ``<0.001``."""
    number = _number(value)
    if number is None:
        return DASH
    return "<0.001" if number < 0.001 else f"{number:.3f}"


def readable(value: Any) -> str:
    """Any JSON value in one line; a dash where there is none."""
    if value is None or value == "" or value == [] or value == {}:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {readable(v)}" for k, v in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        shown = ", ".join(readable(v) for v in value[:8])
        return f"{shown}, ... ({len(value)} in all)" if len(value) > 8 else shown
    return str(value)


def clean(value: Any) -> Any:
    """The same value as plain JSON: arrays become lists; NaN and infinities become ``null``."""
    if isinstance(value, np.ndarray):
        return clean(value.tolist())
    if isinstance(value, np.generic):
        return clean(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [clean(v) for v in value]
    return value


def embedded_json(value: Any) -> str:
    """JSON that is safe inside ``<script>``: no ``<``, ``>``, ``&`` or line separators remain."""
    text = json.dumps(clean(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
