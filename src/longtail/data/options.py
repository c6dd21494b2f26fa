"""Every option of ``load``, checked once."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from longtail.errors import ConfigError, UnknownNameError, nearest

__all__ = ["KINDS", "Options", "split_name"]

KINDS = ("arrays", "csv", "folder", "json", "lists", "npz", "parquet")

_SPLITS = {
    "train": ("train", "training", "tr"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing", "eval"),
    "unlabelled": ("unlabelled", "unlabeled"),
}


def split_name(word: str) -> str | None:
    """``train``, ``validation``, ``test`` or ``unlabelled`` for any usual word, else ``None``."""
    low = word.strip().lower()
    return next((name for name, words in _SPLITS.items() if low in words), None)


@dataclass(frozen=True)
class Options:
    """How a source is read.

    Attributes:
        data_root: folder of the built-in sets' files (else ``LONGTAIL_DATA``, else ``./data``).
        imbalance_factor: of built-in sets; ``None`` is their default.
        profile: ``exponential`` or ``step``.
        seed: of the splits (the data's seed, not the run's).
        validation: cut a validation part when the source has none (a share, or 10 %).
        labelled_share: keep the labels of this share of the training rows.
        image_size: side, or ``(height, width)``.
        resident: decoded images in memory (``None``: when they take less than 2 GiB).
        on_bad: ``error`` or ``skip`` unreadable images.
        kind: how to read a path (``None``: by what it is).
        label: column of the label.
        text: column of the text.
        path_column: column of the image path.
        columns: feature columns of a table.
        root: folder that image paths start from.
        delimiter: of a CSV file (``None``: comma, semicolon or tab, whichever fits).
        classes: file of class names, or the names, in order; whole-number labels that are none
            of them count from 0 into them.
        train, validation_list, test: files of a list source, or of single parts.
        max_tokens: tokens kept of a text (``None``: by the training texts, 512 at most).
        name: of the data set.
    """

    data_root: str | Path | None = None
    imbalance_factor: float | None = None
    profile: str = "exponential"
    seed: int = 0
    validation: bool | float = False
    labelled_share: float | None = None
    image_size: int | tuple[int, int] | None = None
    resident: bool | None = None
    on_bad: str = "error"
    kind: str | None = None
    label: str | None = None
    text: str | None = None
    path_column: str | None = None
    columns: tuple[str, ...] | None = None
    root: str | Path | None = None
    delimiter: str | None = None
    classes: str | Path | tuple[str, ...] | None = None
    train: str | Path | None = None
    validation_list: str | Path | None = None
    test: str | Path | None = None
    max_tokens: int | None = None
    name: str | None = None

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """Options from keywords; an unknown one suggests the nearest."""
        known = [f.name for f in fields(cls)]
        for key in given:
            if key not in known:
                raise UnknownNameError("data option called", key, known)
        clean = {k: v for k, v in given.items() if v is not None}
        for key in ("columns", "classes", "image_size"):
            if isinstance(clean.get(key), list):
                clean[key] = tuple(clean[key])
        if isinstance(clean.get("columns"), str):
            clean["columns"] = (clean["columns"],)
        options = cls(**clean)
        options.check()
        return options

    def check(self) -> None:
        """Refuse values that cannot be meant."""
        if self.on_bad not in ("error", "skip"):
            raise ConfigError(f"on_bad={self.on_bad!r}", "choose on_bad='error' or 'skip'")
        if self.kind is not None and self.kind not in KINDS:
            raise UnknownNameError("kind of data", self.kind, KINDS)
        share = self.labelled_share
        if share is not None and not 0 < share <= 1:
            raise ConfigError(
                f"labelled_share={share} is no share", "give a number in (0, 1], such as 0.1"
            )
        if not 0 <= self.validation < 1 and self.validation is not True:
            raise ConfigError(
                f"validation={self.validation} is no share", "give a number in (0, 1), such as 0.1"
            )
        size = self.image_size
        sides = size if isinstance(size, tuple) else (size,)
        if size is not None and not all(isinstance(s, int) and 1 <= s <= 8192 for s in sides):
            raise ConfigError(
                f"image_size={size} is no size in pixels", "give one side, such as 64"
            )
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise ConfigError(
                f"delimiter={self.delimiter!r} is not one character", "give ',', ';' or '\\t'"
            )

    def with_(self, **changes: Any) -> Options:
        """A copy with fields replaced."""
        return replace(self, **changes)

    @property
    def size(self) -> tuple[int, int] | None:
        """``(height, width)``, or ``None``."""
        size = self.image_size
        if size is None or (isinstance(size, tuple) and len(size) == 2):
            return size
        side = size[0] if isinstance(size, tuple) else size
        return (side, side)

    @property
    def folder(self) -> Path:
        """Where the files of built-in sets lie."""
        return Path(self.data_root or os.environ.get("LONGTAIL_DATA") or "data")

    def refuse(self, noun: str, *names: str) -> None:
        """Options that this kind of source does not read are an error, never silence."""
        defaults = {f.name: f.default for f in fields(self)}
        for name in names:
            if getattr(self, name) != defaults[name]:
                raise ConfigError(
                    f"{noun} does not read the option {name}={getattr(self, name)!r}",
                    "leave it out, or choose a source that does",
                )


def suggest(name: str, names: Any) -> str:
    """The nearest name, without regard to case, or the list."""
    low = {str(n).lower(): str(n) for n in names}
    close = difflib.get_close_matches(name.lower(), list(low), n=1, cutoff=0.5)
    return f"did you mean {low[close[0]]!r}?" if close else nearest(name, map(str, names))
