"""Arrays, tensors, data frames and lists of texts, and ``.npz`` files of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from longtail.data import images, tables
from longtail.data.chunked import open_npz, read_chunked
from longtail.data.options import Options, suggest
from longtail.data.raw import Raw, Rows, Table
from longtail.errors import DataError
from longtail.labels import label_names

__all__ = ["from_arrays", "from_npz", "is_frame", "rows_of"]

_INPUTS = ("x", "images", "data", "texts", "inputs")
_LABELS = ("y", "labels", "targets", "label")
_PARTS = {
    "train": ("", "_train"),
    "validation": ("_validation", "_val", "_valid"),
    "test": ("_test",),
}


def is_frame(value: Any) -> bool:
    """A pandas data frame (pandas itself is not imported)."""
    return hasattr(value, "columns") and hasattr(value, "iloc")


def modality_of(inputs: Any) -> str:
    """``image``, ``table`` or ``text`` by type and shape."""
    if is_frame(inputs) or isinstance(inputs, Table | Mapping):
        return "table"
    if hasattr(inputs, "iloc"):  # a series
        inputs = inputs.to_numpy()
    if isinstance(inputs, Sequence) and not isinstance(inputs, str):
        if not len(inputs):
            raise DataError("there are no samples", "give at least one row a class")
        if isinstance(inputs[0], str):
            return "text"
        if isinstance(inputs[0], Path):
            return "image"
    shape = np.shape(inputs)
    if len(shape) == 1 and np.asarray(inputs).dtype.kind in "OU":
        return "text"
    if len(shape) in (2, 3, 4):
        return "table" if len(shape) == 2 else "image"
    raise DataError(
        f"inputs of shape {shape} are neither images, nor a table, nor texts",
        "give (N, h, w[, c]) images, an (N, F) table, or a list of N texts",
    )


def rows_of(inputs: Any, labels: Any, prefix: str, weight: Any = None) -> Rows:
    """One part from arrays; ids are ``prefix/position``."""
    kind = modality_of(inputs)
    if kind == "text":
        values: Any = [str(t) if isinstance(t, np.str_) else t for t in list(inputs)]
    elif kind == "table":
        frame = is_frame(inputs)
        values = tables.from_frame(inputs) if frame else tables.from_array(inputs)
    elif isinstance(inputs, list | tuple) and isinstance(inputs[0], Path):
        values = [str(p) for p in inputs]
    else:
        values = images.pixels(inputs)
    names = label_names(labels)
    if len(values) != len(names):
        raise DataError(
            f"there are {len(values)} samples and {len(names)} labels", "give one label a sample"
        )
    if "" in names:
        raise DataError(f"the label of row {names.index('')} is empty", "give every row a label")
    ids = [f"{prefix}/{i}" for i in range(len(names))]
    return Rows(values, names, ids, None if weight is None else weights(weight, len(names)))


def weights(values: Any, rows: int) -> Any:
    """``(N,)`` float32 sample weights: finite, not negative, not all zero."""
    try:
        array = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError):
        raise DataError("a sample weight is no number", "give numbers of at least 0") from None
    if array.shape != (rows,) or not np.isfinite(array).all() or (array < 0).any():
        raise DataError(
            f"sample weights must be {rows} finite numbers of at least 0",
            f"got the shape {array.shape}",
        )
    if rows and not array.any():
        raise DataError("all sample weights are 0", "give at least one row a weight above 0")
    return array


def from_arrays(data: Any, options: Options) -> Raw:
    """``(X, y)``, ``(X, y, X_test, y_test)``, or a mapping ``x, y[, x_test, y_test, ...]``."""
    options.refuse("a pair of arrays", "data_root", "imbalance_factor", "profile", "train",
                   "validation_list", "test", "delimiter", "root")  # fmt: skip
    if isinstance(data, Mapping):
        given = _by_part(data, "the mapping")
    elif len(data) in (2, 4):
        given = {"train": (data[0], data[1])}
        if len(data) == 4:
            given["test"] = (data[2], data[3])
    else:
        raise DataError(
            f"a tuple of {len(data)} arrays is not understood",
            "give (X, y), or (X, y, X_test, y_test)",
        )
    parts = {k: rows_of(x, y, k) for k, (x, y) in given.items()}
    return Raw(options.name or "arrays", modality_of(given["train"][0]), parts)


def _by_part(stored: Mapping[str, Any], what: str) -> dict[str, tuple[Any, Any]]:
    low = {str(k).lower(): v for k, v in stored.items()}
    found: dict[str, tuple[Any, Any]] = {}
    for name, endings in _PARTS.items():
        for ending in endings:
            x = next((low[k + ending] for k in _INPUTS if k + ending in low), None)
            y = next((low[k + ending] for k in _LABELS if k + ending in low), None)
            if x is not None and y is not None:
                found[name] = (x, y)
            elif x is not None or y is not None:
                lost = ("x" if x is None else "y") + ending
                raise DataError(f"{what} has no array {lost!r}", suggest(lost, stored))
    if "train" not in found:
        raise DataError(
            f"{what} has no arrays x and y (it has {', '.join(map(str, stored)) or 'none'})",
            "name the inputs x (or images) and the labels y (or labels)",
        )
    return found


def from_npz(path: Path, options: Options) -> Raw:
    """``x`` or ``images``, ``y`` or ``labels``, perhaps ``x_test`` ..., ``classes``; or strips."""
    options.refuse("an .npz file", "data_root", "imbalance_factor", "profile", "label", "text",
                   "path_column", "columns", "train", "validation_list", "delimiter")  # fmt: skip
    stored = open_npz(path)
    if any(k.startswith("chunk_") for k in stored):
        return _strips(path, options)
    parts = {k: rows_of(x, y, k) for k, (x, y) in _by_part(stored, str(path)).items()}
    names: tuple[str, ...] = ()
    for key in ("classes", "class_names"):
        if key in stored:
            names = tuple(str(n) for n in stored[key].tolist())
    return Raw(path.stem, modality_of_rows(parts["train"]), parts, names)


def modality_of_rows(rows: Rows) -> str:
    """Modality of a part that was read."""
    if isinstance(rows.inputs, Table):
        return "table"
    return "text" if isinstance(rows.inputs, list) else "image"


def _strips(path: Path, options: Options) -> Raw:
    import torch

    parts = {}
    for key, file in (("train", path), ("test", options.test)):
        if file is None:
            continue
        values, columns = read_chunked(file)
        labels = label_names(columns["labels"])
        ids = [f"{key}/{i}" for i in columns.get("index", np.arange(len(labels))).tolist()]
        parts[key] = Rows(torch.from_numpy(values), labels, ids)
    return Raw(path.stem, "image", parts)
