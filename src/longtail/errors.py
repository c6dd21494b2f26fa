"""Errors a user can cause: two lines, what was wrong and what to do.

Every error of the package is a :class:`LongtailError`. It is a ``ValueError`` too, so code
that guards a call the usual way keeps working.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "LongtailError",
    "MissingExtraError",
    "NonFiniteLossError",
    "UnboundPartError",
    "UnknownNameError",
    "nearest",
]


class LongtailError(ValueError):
    """Base of all errors: ``what`` was wrong with the value given, and what to ``do``."""

    def __init__(self, what: str, do: str = "") -> None:
        self.what = what
        self.do = do
        super().__init__(f"{what}\n{do}" if do else what)

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.what, self.do)


class ConfigError(LongtailError):
    """A recipe, option or value that does not fit."""


class DataError(LongtailError):
    """Input data that cannot be used as it is."""


class CheckpointError(LongtailError):
    """A checkpoint that cannot be read, or does not belong here."""


class MissingExtraError(LongtailError):
    """A feature behind an extra that is not installed."""


class NonFiniteLossError(LongtailError):
    """The loss became NaN or infinite."""


class UnboundPartError(LongtailError):
    """A part that needs class statistics was called before it had them."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"{name} needs the class counts of the training data and has none",
            f"give them: {name}(..., class_counts=counts), or call .bind(ClassStats(counts))",
        )

    def __reduce__(self) -> tuple[type, tuple[str]]:  # type: ignore[override]
        return type(self), (self.name,)


class UnknownNameError(ConfigError):
    """A name that is not in a list of names; the nearest one is suggested."""

    def __init__(
        self, noun: str, name: object, options: Iterable[str], elsewhere: str = ""
    ) -> None:
        self.noun, self.name, self.options = noun, name, tuple(options)
        self.elsewhere = elsewhere
        said = elsewhere or nearest(str(name), self.options)
        super().__init__(f"there is no {noun} {name!r}", said)

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), (self.noun, self.name, self.options, self.elsewhere)


def nearest(name: str, options: Iterable[str], *, limit: int = 12) -> str:
    """A sentence that suggests the option nearest to ``name``, or lists the options."""
    names = sorted(options)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    if not names:
        return "there is nothing to choose from"
    more = f", ... ({len(names)} in all)" if len(names) > limit else ""
    return "choose one of: " + ", ".join(names[:limit]) + more
