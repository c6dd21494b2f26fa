"""One reader of labels, and one order of classes, for every kind of container."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtail.errors import DataError

__all__ = ["as_counts", "class_order", "encode_labels", "label_array", "label_names", "read_labels"]

_INTEGER = re.compile(r"[+-]?\d+")
_ATTRIBUTES = ("targets", "labels", "get_labels", "y")
_LISTS = ("samples", "imgs")
_COLUMNS = ("label", "labels", "target", "fine_label")


def as_counts(counts: Sequence[float] | Tensor) -> Tensor:
    """Counts as ``(C,)`` float64, or the error that says what is wrong with them."""
    try:
        n = torch.as_tensor(counts, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise DataError("class counts are no list of numbers", f"got {counts!r}"[:200]) from None
    if n.ndim != 1 or n.numel() < 2:
        raise DataError(
            f"class counts must be a list of at least two numbers, not shape {tuple(n.shape)}",
            "give one training count for each class",
        )
    if not torch.isfinite(n).all() or (n < 0).any() or n.sum() == 0:
        raise DataError(
            "class counts must be finite, not negative and not all zero",
            f"got {n.tolist()[:12]}",
        )
    return n


def class_order(names: Iterable[str]) -> tuple[str, ...]:
    """Distinct class names in their lasting order.

    By number when every name is a whole number (``"10"`` after ``"2"``), else by string.
    """
    distinct = sorted(set(names))
    if distinct and all(_INTEGER.fullmatch(n) for n in distinct):
        distinct.sort(key=lambda n: (int(n), n))
    return tuple(distinct)


def label_names(labels: Any) -> list[str]:
    """Every label as a string; whole floats lose their ``.0``; missing labels are refused.

    Args:
        labels: sequence, array, tensor or series of ``N`` labels of any plain type.

    Raises:
        DataError: a label is missing (``None``, NaN), or there is more than one a row.
    """
    if isinstance(labels, Tensor):
        labels = _dense(labels)
    values = np.asarray(labels, dtype=object if isinstance(labels, list | tuple) else None)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(
            f"labels must be one per row, not an array of shape {values.shape}",
            "give a list of N labels; one-hot rows become labels with argmax(1)",
        )
    return [_name(v, row) for row, v in enumerate(values.tolist())]


def _name(value: Any, row: int) -> str:
    several = isinstance(value, list | tuple | np.ndarray | dict | set)
    if several or (isinstance(value, Tensor) and value.numel() != 1):
        raise DataError(
            f"the label of row {row} is a {type(value).__name__} of several values",
            "give one label a row; of (input, label) pairs pass the labels only",
        )
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value
    if isinstance(value, Tensor | np.generic):
        value = value.item()
    if value is None or value != value:  # None, NaN and pandas' NaT
        raise DataError(f"the label of row {row} is missing", "give every row a label, or drop it")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def encode_labels(
    labels: Any, *, names: Sequence[str] | None = None
) -> tuple[Tensor, tuple[str, ...]]:
    """Labels as ``(N,)`` int64 class ids ``0..C-1``, and the ``C`` names in order.

    Args:
        labels: see :func:`label_names`; gaps in numbers are closed, names stay.
        names: the classes, when they are known; a label outside them is an error.
    """
    strings = label_names(labels)
    order = class_order(strings) if names is None else tuple(names)
    ids = {name: i for i, name in enumerate(order)}
    unknown = sorted({s for s in strings if s not in ids})
    if unknown:
        raise DataError(
            f"{len(unknown)} labels are not among the classes: {', '.join(unknown[:8])}",
            f"the classes are: {', '.join(order[:12])}",
        )
    return torch.tensor([ids[s] for s in strings], dtype=torch.int64), order


def read_labels(source: Any) -> Tensor:
    """``(N,)`` int64 labels of a list, array, tensor or dataset, without loading its samples.

    Reads sequences, arrays, tensors and series; ``TensorDataset`` (its last tensor), ``Subset``
    and ``ConcatDataset`` (through their indices and members); objects with ``targets``,
    ``labels``, ``get_labels()`` or ``y``; folders with ``samples`` or ``imgs``, lists of
    ``(path, class id)``; Hugging Face datasets with a column ``label``, ``labels``, ``target``
    or ``fine_label``, read as a column.

    Raises:
        DataError: there are no labels to be found, or they are no whole numbers.
    """
    values = label_array(source)  # what pandas lends may not be written to, which torch shares
    return torch.from_numpy(values.astype(np.int64, copy=not values.flags.writeable))


def label_array(source: Any) -> NDArray[np.integer]:
    """As :func:`read_labels`, as an array of the integers that are there: nothing is copied
    that need not be.

    Raises:
        DataError: there are no labels to be found, they are no whole numbers, or there is none.
    """
    return _checked(_find(source))


def _checked(values: NDArray[Any]) -> NDArray[np.integer]:
    """One whole number a row that 64 bits hold, or an error."""
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or not len(values):
        raise DataError(
            f"labels must be one whole number a row, N >= 1 of them, not shape {values.shape}",
            "give a list of N class ids; one-hot rows become labels with argmax(1)",
        )
    if values.dtype.kind == "f":
        values = values.astype(np.float64)
        with np.errstate(invalid="ignore"):
            whole = (values == np.round(values)) & (np.abs(values) < 2.0**53)
        if not whole.all():
            row = int(np.argmin(whole))
            raise DataError(
                f"labels must be whole numbers, and that of row {row} is {values[row]}",
                "these look like a regression target, or are missing",
            )
        return values.astype(np.int64)
    if values.dtype == np.uint64 and int(values.max()) > np.iinfo(np.int64).max:
        raise DataError(
            f"the label {int(values.max())} is beyond 64 bits with a sign",
            "number the classes 0..C-1: longtail.labels.encode_labels(labels)",
        )
    return values.astype(np.uint8) if values.dtype.kind == "b" else values


def _find(source: Any) -> NDArray[Any]:
    """The labels as an array of numbers, one an item of the source."""
    from torch.utils.data import ConcatDataset, IterableDataset, Subset, TensorDataset

    if isinstance(source, Subset):
        return _picked(_find(source.dataset), source.indices)
    if isinstance(source, ConcatDataset):
        parts = [_find(d) for d in source.datasets]
        parts = [_checked(p) for p in parts if len(p)]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
    if isinstance(source, IterableDataset):
        raise DataError(
            f"the labels of a stream ({type(source).__name__}) are known only as it flows by",
            "use longtail.samplers.Reservoir or RejectionSampler, or pass labels=[...]",
        )
    if isinstance(source, TensorDataset):
        return _numbers(source.tensors[-1])
    if isinstance(source, Tensor | np.ndarray | list | tuple | range) or hasattr(source, "iloc"):
        return _numbers(source)
    columns = getattr(source, "column_names", None)
    if isinstance(columns, list | tuple):
        return _column(source, columns)
    for name in _ATTRIBUTES:
        value = getattr(source, name, None)
        if value is not None:
            return _numbers(value() if callable(value) else value)
    for name in _LISTS:
        value = getattr(source, name, None)
        if value is not None:
            return _numbers(_seconds(value, name))
    raise DataError(f"no labels found in a {type(source).__name__}", _instead(source))


def _instead(source: Any) -> str:
    """What to give in place of something that holds no labels."""
    if isinstance(source, str | os.PathLike):
        return "read the data first: longtail.data.load(path).train.labels"
    if isinstance(source, Mapping):
        parts = ", ".join(map(repr, list(source)[:4]))
        return f"give one part of it, or its column of labels (it holds {parts})"
    return "give it an attribute targets or labels, or pass labels=[...]"


def _picked(labels: NDArray[Any], indices: Any) -> NDArray[Any]:
    """The labels of a ``Subset``."""
    wanted = np.asarray(indices)
    if not wanted.size:
        return labels[:0]
    if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
        raise DataError(
            f"the indices of a Subset are {wanted.dtype} of shape {wanted.shape}",
            "a Subset takes a list of row numbers",
        )
    low, high = int(wanted.min()), int(wanted.max())
    if low < -len(labels) or high >= len(labels):
        raise DataError(
            f"a Subset asks for row {high if high >= len(labels) else low} of {len(labels)}",
            "make its indices from the data set it is a part of",
        )
    return np.asarray(labels[wanted.astype(np.int64)])


def _seconds(items: Any, name: str) -> list[Any]:
    """The class ids of a list of ``(path, class id)``."""
    try:
        if any(isinstance(item, str | bytes) for item in items):
            raise TypeError
        return [item[1] for item in items]
    except (TypeError, LookupError):
        raise DataError(
            f"the entries of {name} are no pairs of path and class id",
            "give the data set an attribute targets or labels, or pass labels=[...]",
        ) from None


def _column(source: Any, columns: Sequence[str]) -> NDArray[Any]:
    """The label column of a table of columns, fetched as a column."""
    name = next((n for n in _COLUMNS if n in columns), None)
    if name is None:
        raise DataError(
            f"none of the columns {', '.join(columns)} is known to hold labels",
            f"name it {' or '.join(map(repr, _COLUMNS))}, or pass the column itself as labels",
        )
    return _numbers(source[name][:])


def _numbers(values: Any) -> NDArray[Any]:
    """Any sequence of numbers as an array."""
    try:
        array = np.asarray(_dense(values) if isinstance(values, Tensor) else values)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise DataError(
            f"labels must be one whole number a row, and these form no array: {_line(error)}",
            "give a list of N class ids; of (input, label) pairs pass the labels only",
        ) from error
    if array.dtype.kind not in "iufb" and array.size:
        if array.ndim == 2:
            raise DataError(
                f"each row is {array.shape[1]} values, not a label",
                "of (input, label) pairs pass the labels only: [label for _, label in pairs]",
            )
        raise DataError(
            f"labels must be whole numbers, not {'words' if array.dtype.kind in 'US' else array.dtype}",
            "turn names into ids first: longtail.labels.encode_labels(labels)",
        )
    return array


def _dense(values: Tensor) -> NDArray[Any]:
    """A tensor of any layout and type as an array."""
    values = values.detach()
    values = values.to_dense() if values.layout != torch.strided else values
    values = values.float() if values.dtype == torch.bfloat16 else values
    return np.asarray(values.cpu().numpy())


def _line(error: Exception) -> str:
    """The first line of an error's message, not over-long."""
    return str(error).partition("\n")[0][:120]
