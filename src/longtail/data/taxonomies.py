"""Taxonomies from files: edges (``parent child``), or a table with one row a class."""

from __future__ import annotations

import csv
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path

from longtail.data.lists import read_text
from longtail.errors import DataError
from longtail.models.taxonomy import Taxonomy, grow

__all__ = ["BUILT_IN", "read_taxonomy"]

#: name -> table that comes with the package
BUILT_IN = {"cifar100": "cifar100_taxonomy.tsv"}
FORMS = "write 'parent child' lines, or a table with a header: id, levels from the top, name"
ROOT = "root"
SHOWN = 6
NUMBERS = ("id", "index")


def read_taxonomy(source: str | Path, names: Sequence[str]) -> tuple[Taxonomy, list[str]]:
    """The taxonomy of a file over some classes, and notes on what was left out of it.

    A file (``.xz`` or not) holds edges, ``parent child`` a line, split by tab, comma or blank, or
    with a header that names the columns ``parent`` and ``child`` (or ``node``); or a table with a
    header: ``id`` (optional), one column a level from the top, and ``name``, the class. Empty
    cells of a level are skipped, columns after ``name`` are not read.

    Classes are found by name, exactly or up to case, blanks and hyphens; in a table by ``id`` too.

    Args:
        source: ``"cifar100"``, or a path.
        names: ``(C,)`` class names, in class-id order.

    Raises:
        DataError: a file that is none of these, or a tree that does not fit the classes: a cycle,
            a node with two parents or none, a class that is missing or no leaf.
    """
    own = BUILT_IN.get(str(source))
    path = Path(source).expanduser() if own is None else Path(__file__).with_name(own)
    if own is None and not path.is_file():
        raise DataError(
            f"there is no taxonomy {str(source)!r}",
            f"give a file, or one that comes with the package: {', '.join(BUILT_IN)}",
        )
    lines = [x for x in read_text(path).splitlines() if x.strip() and x[0] != "#"]
    if not lines:
        raise DataError(f"the taxonomy {path} is empty", FORMS)
    header = [c.strip().lower() for c in _cells(lines[0])]
    if "parent" in header and ("child" in header or "node" in header):
        child = header.index("child" if "child" in header else "node")
        pairs = _pairs(path, lines[1:], header.index("parent"), child, len(header))
    elif "name" in header and len(header) > 2:
        return _table(path, lines[1:], header, names)
    else:
        pairs = _pairs(path, lines, 0, 1, 2)
    parent_of = _edges(pairs)
    nodes = dict.fromkeys([*parent_of, *parent_of.values()])
    return grow(parent_of, _match(names, nodes), names)


def _cells(line: str) -> list[str]:
    """The cells of a line: between tabs, else commas, else blanks."""
    if "\t" in line:
        return line.split("\t")
    return next(csv.reader([line])) if "," in line else line.split()


def _pairs(
    path: Path, lines: Iterable[str], parent: int, child: int, width: int
) -> list[tuple[str, str]]:
    out = []
    for line in lines:
        cells = [c.strip() for c in _cells(line)]
        if len(cells) < 2 or len(cells) > width:
            raise DataError(f"{line[:60]!r} in {path.name} is not 'parent child'", FORMS)
        cells += [""] * (width - len(cells))
        out.append((cells[parent], cells[child]))
    return out


def _edges(pairs: Iterable[tuple[str, str]]) -> dict[Hashable, Hashable]:
    parent_of: dict[Hashable, Hashable] = {}
    for parent, child in pairs:
        if not parent or not child:
            continue  # the root, which some lists write with an empty parent
        old = parent_of.setdefault(child, parent)
        if old != parent:
            raise DataError(
                f"node {child!r} of the taxonomy has two parents: {old!r} and {parent!r}",
                "a taxonomy is a tree: keep one of the two lines",
            )
    return parent_of


def _folded(name: object) -> str:
    return str(name).strip().casefold().replace(" ", "_").replace("-", "_")


def _match(names: Sequence[str], nodes: Iterable[Hashable]) -> list[Hashable]:
    """The node of each class; a class that has none keeps its name, for the error that follows."""
    known = dict.fromkeys(nodes)
    folded: dict[str, list[Hashable]] = {}
    for node in known:
        folded.setdefault(_folded(node), []).append(node)
    out: list[Hashable] = []
    for name in names:
        close = folded.get(_folded(name), [])
        out.append(name if name in known or len(close) != 1 else close[0])
    return out


def _table(
    path: Path, lines: Sequence[str], header: Sequence[str], names: Sequence[str]
) -> tuple[Taxonomy, list[str]]:
    """One row a class: a node is its path, so that equal names in two branches stay apart."""
    last = header.index("name")
    number = next((header.index(n) for n in NUMBERS if n in header[:last]), None)
    levels = [i for i in range(last) if i != number]
    parent_of: dict[Hashable, Hashable] = {}
    label: dict[Hashable, str] = {(): ROOT}
    by_name: dict[str, list[Hashable]] = {}
    by_number: dict[str, Hashable] = {}
    for line in lines:
        cells = [c.strip() for c in _cells(line)]
        if len(cells) <= last or not cells[last]:
            raise DataError(f"{line[:60]!r} in {path.name} names no class", FORMS)
        node: tuple[str, ...] = ()
        for cell in (cells[i] for i in levels):
            if cell:
                node, above = (*node, cell), node
                parent_of[node], label[node] = above, cell
        leaf = ("class", len(label), cells[last])
        parent_of[leaf], label[leaf] = node, cells[last]
        by_name.setdefault(cells[last], []).append(leaf)
        if number is not None:
            by_number[cells[number]] = leaf
    return grow(parent_of, _rows(names, by_name, by_number), names, label)


def _rows(
    names: Sequence[str], by_name: Mapping[str, list[Hashable]], by_number: Mapping[str, Hashable]
) -> list[Hashable]:
    """The row of each class, by name; where no class is found so, by number."""
    matched = _match(names, by_name)
    if by_number and not any(m in by_name for m in matched):
        missing = [n for n in names if n not in by_number]
        if not missing:
            return [by_number[n] for n in names]
    out: list[Hashable] = []
    for name, found in zip(names, matched, strict=True):
        rows = by_name.get(str(found), [])
        if len(rows) > 1:
            raise DataError(
                f"{len(rows)} rows of the taxonomy are called {name!r}",
                "give each class a name of its own, or name the classes by their id",
            )
        out.append(rows[0] if rows else name)
    return out
