"""What a source hands over before anything is encoded or split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtail.registry import PartSpec

__all__ = ["Raw", "Rows", "Table"]


@dataclass(frozen=True)
class Table:
    """Columns of equal length: float64 numbers, or strings in object arrays.

    Attributes:
        columns: by name.
        rows: ``N``.
        at: ``(N,)`` positions in the source, for messages; ``None``: as they are.
    """

    columns: dict[str, NDArray[Any]]
    rows: int
    at: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return self.rows

    def take(self, index: NDArray[np.int64]) -> Table:
        """The rows at positions ``index``."""
        at = index if self.at is None else self.at[index]
        return Table({k: v[index] for k, v in self.columns.items()}, len(index), at)

    def row(self, position: int) -> int:
        """Where a row stood in the source."""
        return position if self.at is None else int(self.at[position])


@dataclass(frozen=True)
class Rows:
    """One part of a source.

    Attributes:
        inputs: uint8 images ``(N, c, h, w)``, or a list of file paths or texts, or a ``Table``.
        labels: ``N`` names of classes; ``""`` where there is none (unlabelled rows).
        ids: ``N`` names of samples.
        weight: ``(N,)`` sample weights, or ``None``.
        group: ``N`` names of groups that a split keeps together, or ``None``.
    """

    inputs: Any
    labels: Sequence[str]
    ids: Sequence[str]
    weight: NDArray[np.float32] | None = None
    group: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.int64]) -> Rows:
        """The rows at positions ``index``, in that order."""
        at = index.tolist()

        def pick(values: Sequence[str]) -> list[str]:
            return [values[i] for i in at]

        return Rows(
            _take(self.inputs, index),
            pick(self.labels),
            pick(self.ids),
            None if self.weight is None else self.weight[index],
            None if self.group is None else pick(self.group),
        )

    def with_(self, **changes: Any) -> Rows:
        """A copy with fields replaced."""
        return replace(self, **changes)


def _take(inputs: Any, index: NDArray[np.int64]) -> Any:
    if isinstance(inputs, Tensor):
        return inputs[torch.from_numpy(index)]
    if isinstance(inputs, Table):
        return inputs.take(index)
    return [inputs[i] for i in index.tolist()]


@dataclass
class Raw:
    """A source, read: parts by name and what is known of them.

    Attributes:
        name: of the source.
        modality: ``image``, ``table`` or ``text``.
        parts: ``train`` and, where the source has them, ``validation``, ``test``,
            ``unlabelled``.
        class_names: the order of classes where the source fixes it, else ``()``.
        benchmark: a named benchmark.
        default_backbone: where the source has an opinion.
        default_augment: likewise; ``"auto"`` chooses by image size.
        image_size: ``(h, w)`` where the source has an opinion.
        shape: ``(c, h, w)`` of images that stay in their files.
        notes: lines for the user.
        unreadable: files left out.
    """

    name: str
    modality: str
    parts: dict[str, Rows]
    class_names: tuple[str, ...] = ()
    benchmark: bool = False
    default_backbone: str = ""
    default_augment: PartSpec | str | None = "auto"
    image_size: tuple[int, int] | None = None
    shape: tuple[int, int, int] | None = None
    notes: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
