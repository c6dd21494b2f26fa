"""Manifests: one row a sample; columns ``path`` or ``text`` or features, and ``label``."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from longtail.data import tables
from longtail.data.arrays import weights
from longtail.data.options import Options, split_name, suggest
from longtail.data.paths import resolve_paths
from longtail.data.raw import Raw, Rows, Table
from longtail.errors import DataError, MissingExtraError
from longtail.labels import label_names

__all__ = ["from_csv", "from_frame", "from_parquet", "read_csv", "unique_names"]

RESERVED = ("split", "weight", "group")
DELIMITERS = ",;\t"
_UNUSED = ("data_root", "imbalance_factor", "profile", "train", "validation_list", "test")


def read_csv(path: Path, delimiter: str | None = None) -> Table:
    """A text file with a header line: columns of strings.

    UTF-8 with or without a byte order mark; comma, semicolon or tab, whichever the header line
    has most of. A quoted field may hold delimiters and line breaks.

    Raises:
        DataError: empty, not UTF-8, a double column, or a row of another length (named).
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 (byte {error.start})", "save it as UTF-8 text"
        ) from None
    first = content.lstrip("\r\n").split("\n", 1)[0]
    mark = delimiter or max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=mark, strict=True)
    try:
        rows = [r for r in reader if r]
    except csv.Error as error:
        raise DataError(
            f"{path} is no readable CSV file near line {reader.line_num} ({error})",
            "check its quotes; a quote inside a quoted field is written twice",
        ) from None
    if len(rows) < 2:
        raise DataError(f"{path} has no rows", "it needs a header line and one line a sample")
    header = [h.strip() for h in rows[0]]
    twice = next((h for i, h in enumerate(header) if h in header[:i]), None)
    if twice is not None:
        raise DataError(f"{path} has two columns called {twice!r}", "rename one of them")
    for number, row in enumerate(rows[1:], 1):
        if len(row) != len(header):
            raise DataError(
                f"row {number} of {path} has {len(row)} fields and the header {len(header)}",
                f"fields are told apart by {mark!r}; another: the data option delimiter",
            )
    columns = list(zip(*rows[1:]))
    return tables.from_strings(dict(zip(header, columns)), len(rows) - 1)


def from_csv(path: Path, options: Options) -> Raw:
    """A CSV file; image paths start at ``root``, else at the file's folder."""
    table = read_csv(path, options.delimiter)
    return _from_table(table, path.stem, str(path), path.parent, options)


def from_parquet(path: Path, options: Options) -> Raw:
    """A Parquet file, through pandas and pyarrow."""
    try:
        pandas = importlib.import_module("pandas")
        importlib.import_module("pyarrow")
    except ImportError:
        raise MissingExtraError(
            f"{path.name} is a Parquet file, and pandas with pyarrow is not installed",
            "pip install 'longtail[pandas]' pyarrow, or save the data as CSV",
        ) from None
    try:
        frame = pandas.read_parquet(path)
    except Exception as error:  # pyarrow's own errors
        raise DataError(
            f"{path} is no readable Parquet file ({str(error)[:80]})", "write it again"
        ) from None
    return _from_table(_columns(frame, options), path.stem, str(path), path.parent, options)


def from_frame(frame: Any, options: Options) -> Raw:
    """A data frame with a label column; image paths start at ``root``, else at the work folder."""
    return _from_table(_columns(frame, options), "frame", "the data frame", Path.cwd(), options)


def _columns(frame: Any, options: Options) -> Table:
    """Columns as they are; labels by name, empty where they are missing."""
    table = tables.from_frame(frame)
    label = options.label or "label"
    if label in table.columns:
        values = np.asarray(frame[label]).tolist()
        words = ["" if tables.is_missing(v) else label_names([v])[0] for v in values]
        table.columns[label] = np.asarray(words, dtype=object)
    return table


def _from_table(table: Table, name: str, where: str, base: Path, options: Options) -> Raw:
    options.refuse(f"the source {name!r}", *_UNUSED)
    label = options.label or "label"
    if label not in table.columns:
        raise DataError(
            f"{where} has no label column {label!r} (it has {', '.join(table.columns)})",
            f"{suggest(label, table.columns)}; name it with the data option label: COLUMN",
        )
    if not len(table):
        raise DataError(f"{where} has no rows", "give at least one row a class")
    raw = Raw(options.name or name, "table", {})
    split = _splits(table, where)
    unlabelled = split == "unlabelled"
    words = _labels(table.columns[label], label, where, unlabelled)
    weight = None
    if "weight" in table.columns:
        weight = _weights(table.columns["weight"], where)
    group = None
    if "group" in table.columns:
        group = [str(v) for v in table.columns["group"].tolist()]
    kind, inputs, ids, kept = _inputs(table, label, where, base, options, raw)
    raw.modality = kind
    rows = Rows(inputs, words, ids, weight, group)
    for part in ("train", "validation", "test", "unlabelled"):
        at = np.flatnonzero((split == part) & kept)
        if len(at):
            raw.parts[part] = rows.take(at)
    return raw


def _splits(table: Table, where: str) -> Any:
    if "split" not in table.columns:
        return np.full(len(table), "train", dtype=object)
    found = [split_name(str(v)) for v in table.columns["split"].tolist()]
    if None in found:
        row = found.index(None)
        raise DataError(
            f"{where} has the split {table.columns['split'][row]!r} in row {row}",
            "use train, validation, test or unlabelled",
        )
    return np.asarray(found, dtype=object)


def _labels(values: Any, label: str, where: str, unlabelled: Any) -> list[str]:
    """Names of labels; rows of the unlabelled part may have none."""
    words = [str(v).strip() for v in values.tolist()]
    bad = [i for i, w in enumerate(words) if w == "" and not unlabelled[i]]
    if bad:
        raise DataError(
            f"{len(bad)} rows of {where} have no {label}, the first is row {bad[0]}",
            "label or drop them, or set their split to unlabelled",
        )
    return words


def _weights(values: Any, where: str) -> Any:
    try:
        numbers = np.asarray(values.tolist(), dtype=np.float32)
    except (TypeError, ValueError):
        raise DataError(
            f"the weight column of {where} holds something that is no number",
            "give numbers of at least 0, or rename the column",
        ) from None
    return weights(numbers, len(numbers))


def _inputs(
    table: Table, label: str, where: str, base: Path, options: Options, raw: Raw
) -> tuple[str, Any, Sequence[str], Any]:
    """Modality, inputs, ids, and which rows to keep."""
    every = np.ones(len(table), dtype=bool)
    ids: Sequence[str] = [f"row/{i}" for i in range(len(table))]
    path = _named(table, options.path_column, "path", where)
    text = None if path else _named(table, options.text, "text", where)
    features = [c for c in table.columns if c not in (label, *RESERVED)]
    if options.columns is not None:
        for column in options.columns:
            _named(table, column, column, where)
        features = list(options.columns)
        path, text = (path if options.path_column else None), (text if options.text else None)
    if path:
        names = [str(v) for v in table.columns[path].tolist()]
        root = Path(options.root) if options.root else base
        full, missing = resolve_paths(names, root, where, skip=options.on_bad == "skip")
        raw.unreadable += [names[i] for i in missing]
        every[missing] = False
        ids = unique_names(names)
        kind, inputs, used = "image", full, path
    elif text or (options.columns is None and _is_text(table, features)):
        used = text or features[0]
        if not text:
            raw.notes.append(f"column {used!r} is read as text")
        kind, inputs = "text", [str(v) for v in table.columns[used].tolist()]
    else:
        columns = {c: table.columns[c] for c in features}
        return "table", Table(columns, len(table)), ids, every
    unused = [c for c in features if c != used]
    if unused:
        raw.notes.append(f"columns beside {used!r} are not used: {', '.join(unused[:8])}")
    return kind, inputs, ids, every


def _named(table: Table, given: str | None, usual: str, where: str) -> str | None:
    if given is None:
        return usual if usual in table.columns else None
    if given not in table.columns:
        raise DataError(f"{where} has no column {given!r}", suggest(given, table.columns))
    return given


def _is_text(table: Table, features: list[str]) -> bool:
    """A single column of mostly different values of several words."""
    if len(features) != 1 or table.columns[features[0]].dtype != object:
        return False
    values = [str(v) for v in table.columns[features[0]].tolist()]
    words = sum(len(v.split()) for v in values) / len(values)
    return words > 2 and len(set(values)) > 0.5 * len(values)


def unique_names(names: list[str]) -> list[str]:
    """Names, with ``#2`` and so on where a file is listed again."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return out
