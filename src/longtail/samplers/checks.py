"""Arguments and labels that come from outside: what they are, or an error that names them."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

from longtail.errors import ConfigError, DataError

__all__ = ["class_ids", "finite", "named_numbers", "stage_epochs", "stage_fraction", "whole"]


def _integer(value: Any) -> int | None:
    """``value`` as an integer where it is one, of whatever type; ``2.0`` is."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    try:
        return operator.index(value)
    except TypeError:
        pass
    real = isinstance(value, Real) and math.isfinite(value)
    return int(value) if real and value == int(value) else None


def whole(name: str, value: Any, do: str, *, least: int | None = 1) -> int:
    """``value`` as a whole number from ``least`` on; of 2.0 it is 2.

    Args:
        name: of the argument.
        value: of the argument.
        do: second line of the error.
        least: the smallest there may be; ``None``, any.

    Raises:
        ConfigError: it is none.
    """
    number = None if isinstance(value, bool) else _integer(value)
    if number is None or (least is not None and number < least):
        limit = "" if least is None else f" from {least} on"
        raise ConfigError(f"{name} must be a whole number{limit}, not {value!r}", do)
    return number


def stage_epochs(name: str, epochs: int | None) -> int:
    """The epochs of the stage of a sampler that cannot do without them."""
    if epochs is None:
        raise ConfigError(
            f"{name} sampling does not know how many epochs the stage has",
            "give epochs=T, or set sampler.epochs = T",
        )
    return whole("epochs", epochs, "it is how many epochs the stage has")


def stage_fraction(epoch: int, epochs: int) -> float:
    """``e / (T - 1)``, at most 1: the last epoch ends the stage, and a single one is its end."""
    return min(1.0, epoch / (epochs - 1)) if epochs > 1 else 1.0


def finite(value: Any) -> float | None:
    """``value`` as a finite number where it is one, else ``None``."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    real = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if real else None


def class_ids(label: Any) -> tuple[int, ...]:
    """Class ids of an item, ascending, each once; from a number or any sequence of numbers.

    Raises:
        DataError: there is none, or one is no whole number from 0 on.
    """
    plain = label.tolist() if hasattr(label, "tolist") else label
    if isinstance(plain, Iterable) and not isinstance(plain, str | bytes):
        found = [_integer(each) for each in plain]
    else:
        found = [_integer(plain)]
    own = sorted({c for c in found if c is not None})
    if not own or None in found or own[0] < 0:
        raise DataError(
            f"an item has the label {plain!r}",
            "a label is one class id from 0 on, or several; encode_labels makes ids of names",
        )
    return tuple(own)


def named_numbers(name: str, values: Any) -> dict[int, float]:
    """Class id -> number, of a dictionary or of ``(C,)`` numbers in class order.

    Raises:
        ConfigError: they are not finite, negative, or all zero; or a key is no class id.
    """
    plain = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(plain, str | bytes) or not isinstance(plain, Iterable):
        raise ConfigError(f"{name} must be (C,) numbers or class id -> number", f"got {values!r}")
    pairs = list(plain.items() if isinstance(plain, Mapping) else enumerate(plain))
    out: dict[int, float] = {}
    for key, value in pairs:
        label = int(key) if isinstance(key, str) and key.isdecimal() else _integer(key)
        number = finite(value)
        if label is None or label < 0 or number is None or number < 0:
            raise ConfigError(
                f"{name} must be finite and not negative, one number a class id",
                f"got {value!r} for class {key!r}",
            )
        out[label] = number
    if not sum(out.values()) > 0:
        raise ConfigError(f"{name} must not be all zero", f"got {list(out.values())[:12]}")
    return out
