"""Tables: columns of numbers and words to float32 rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtail.data.options import suggest
from longtail.data.raw import Table
from longtail.errors import DataError

__all__ = [
    "Column",
    "encode_table",
    "fit_columns",
    "from_array",
    "from_frame",
    "from_strings",
    "is_missing",
]

#: (name, "numeric" or "category", categories)
Column = tuple[str, str, tuple[str, ...]]

MISSING = frozenset(("", "na", "n/a", "nan", "none", "null", "?", "-"))
TRUE, FALSE = frozenset(("true", "yes")), frozenset(("false", "no"))
MOST_CATEGORIES = 256


def from_array(values: Any, names: Sequence[str] | None = None) -> Table:
    """``(N, F)`` numbers (or mixed objects) as a table; columns are called ``x0``, ``x1``, ..."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if hasattr(values, "toarray"):
        raise DataError("a sparse matrix is not read", "give x.toarray()")
    if array.ndim != 2:
        raise DataError(
            f"a table must have the shape (N, F), not {array.shape}", "give one row a sample"
        )
    titles = [f"x{i}" for i in range(array.shape[1])] if names is None else list(names)
    return Table({t: _column(array[:, i]) for i, t in enumerate(titles)}, len(array))


def from_frame(frame: Any) -> Table:
    """A data frame's columns (pandas, or anything that yields columns by name)."""
    return Table({str(c): _column(np.asarray(frame[c])) for c in frame.columns}, len(frame))


def from_strings(columns: Mapping[str, Sequence[str]], rows: int) -> Table:
    """Columns of a text file."""
    return Table({k: np.asarray(list(v), dtype=object) for k, v in columns.items()}, rows)


def _column(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind in "iufb":
        return values.astype(np.float64)
    words = ["" if is_missing(v) else str(v) for v in values.tolist()]
    return np.asarray(words, dtype=object)


def is_missing(value: Any) -> bool:
    """``None``, NaN, or what pandas writes for them."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and value != value


def _number(word: str) -> float | None:
    low = word.strip().lower()
    if low in TRUE or low in FALSE:
        return float(low in TRUE)
    try:
        return float(low)
    except ValueError:
        return None


def fit_columns(table: Table, notes: list[str]) -> tuple[Column, ...]:
    """What each column is, by the training rows.

    A column is numeric when all its values are numbers or truth values; one in which only
    missing values stand in the way is numeric too (and refused when it is encoded). The others
    are words: at most the 256 most frequent get a code of their own.
    """
    if not table.columns:
        raise DataError("the table has no feature column", "give at least one column but the label")
    out: list[Column] = []
    for name, values in table.columns.items():
        if values.dtype != object or _numeric(values):
            out.append((name, "numeric", ()))
            continue
        words, counts = np.unique(values.astype(str), return_counts=True)
        kept = words[np.argsort(-counts, kind="stable")][:MOST_CATEGORIES]
        if len(words) > MOST_CATEGORIES:
            notes.append(
                f"column {name!r} has {len(words)} different words: the {MOST_CATEGORIES} most "
                "frequent are told apart, the rest count as unseen"
            )
        out.append((name, "category", tuple(sorted(kept.tolist()))))
    return tuple(out)


def _fast(values: NDArray[Any]) -> NDArray[np.float64] | None:
    """All values as numbers by NumPy, or ``None`` when one is none."""
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError):
        return None


def _numeric(values: NDArray[Any]) -> bool:
    if _fast(values) is not None:
        return True
    present = [str(v) for v in values.tolist() if str(v).strip().lower() not in MISSING]
    return bool(present) and all(_number(v) is not None for v in present)


def encode_table(table: Table, columns: Sequence[Column]) -> Tensor:
    """``(N, F)`` float32: numbers as they are, words as codes (0 is a word not seen in training).

    Raises:
        DataError: a column is missing, or a numeric one holds NaN, infinity or a word.
    """
    out = np.zeros((len(table), len(columns)), dtype=np.float32)
    for i, (name, kind, categories) in enumerate(columns):
        if name not in table.columns:
            raise DataError(
                f"the table has no column {name!r}, which the model was trained on",
                suggest(name, table.columns),
            )
        values = table.columns[name]
        if kind == "numeric":
            out[:, i] = _finite(name, values, table)
        else:
            codes = {word: code for code, word in enumerate(categories, 1)}
            out[:, i] = [codes.get(_word(v), 0) for v in values.tolist()]
    return torch.from_numpy(out)


def _word(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)


def _finite(name: str, values: NDArray[Any], table: Table) -> NDArray[np.float64]:
    fast = _fast(values)
    if fast is not None:
        values = fast
    else:
        parsed = [_number(str(v)) for v in values.tolist()]
        wrong = [
            (i, str(v))
            for i, (v, p) in enumerate(zip(values.tolist(), parsed))
            if p is None and str(v).strip().lower() not in MISSING
        ]
        if wrong:
            raise DataError(
                f"column {name!r} is numeric, and row {table.row(wrong[0][0])} holds {wrong[0][1]!r}",
                "make all its values numbers",
            )
        values = np.asarray([np.nan if p is None else p for p in parsed], dtype=np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        what = "infinite" if np.isinf(values[row]) else "missing (NaN)"
        raise DataError(
            f"column {name!r} has {int(bad.sum())} {what} values, the first in row {table.row(row)}",
            "fill them in (the median, say) or drop the column",
        )
    over = np.abs(values) > np.finfo(np.float32).max
    if over.any():
        raise DataError(
            f"column {name!r} has values beyond float32", "scale it down, or take its logarithm"
        )
    return values
