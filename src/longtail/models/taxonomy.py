"""A tree over the classes as a value: checked, pruned, its nodes in an order that is computed with."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from longtail.errors import DataError, nearest

__all__ = ["Taxonomy", "grow", "star"]

SHOWN = 6


@dataclass(frozen=True)
class Taxonomy:
    """A tree whose leaves are the classes and whose inner nodes have two children or more.

    Nodes ``0 .. C - 1`` are the classes, nodes ``C .. N - 1`` the inner nodes apart from the root,
    sorted by depth. Inner number 0 is the root, inner number ``i`` is node ``C + i - 1``.

    Attributes:
        parents: ``(N,)`` inner number of each node's parent.
        names: ``(N + 1,)`` names of the nodes; the last one is the root's.
        num_classes: ``C``.
    """

    parents: tuple[int, ...]
    names: tuple[str, ...]
    num_classes: int

    @property
    def inner(self) -> int:
        """Inner nodes apart from the root."""
        return len(self.parents) - self.num_classes

    def path(self, node: int) -> list[int]:
        """Nodes from below the root to ``node``."""
        out = [node]
        while above := self.parents[out[-1]]:
            out.append(self.num_classes + above - 1)
        return out[::-1]

    def levels(self) -> tuple[int, ...]:
        """Inner nodes at depth 1, 2, ..."""
        depth = [0]
        for above in self.parents[self.num_classes :]:
            depth.append(depth[above] + 1)
        return tuple(depth.count(d) for d in range(1, max(depth) + 1))

    def to_json(self) -> str:
        """As text, for a checkpoint."""
        return json.dumps([self.num_classes, self.parents, self.names])

    @staticmethod
    def from_json(text: str) -> Taxonomy:
        """The inverse of :meth:`to_json`."""
        classes, parents, names = json.loads(text)
        return Taxonomy(tuple(parents), tuple(names), int(classes))


def star(num_classes: int) -> Taxonomy:
    """All classes below the root: what a plain classifier decides on."""
    names = (*map(str, range(num_classes)), "root")
    return Taxonomy((0,) * num_classes, names, num_classes)


def grow(
    parent_of: Mapping[Hashable, Hashable],
    classes: Sequence[Hashable],
    names: Sequence[str],
    label: Mapping[Hashable, str] | None = None,
) -> tuple[Taxonomy, list[str]]:
    """A taxonomy from the parent of each node, and what had to be changed on the way.

    Nodes below which no class lies are left out, and a node with one child is replaced by the child.

    Args:
        parent_of: key of a node -> key of its parent; the root has none.
        classes: ``(C,)`` keys of the classes, in class-id order.
        names: ``(C,)`` class names.
        label: what nodes are called (default: their keys).

    Raises:
        DataError: a cycle, a node without a way to the root, a class that is no node, that stands
            twice, or that lies above another.
    """
    said = {k: str(k) for k in (*parent_of, *parent_of.values())}
    said.update(label or {})
    _check_ways(parent_of, said)
    _check_classes(parent_of, classes, names, said)
    children = _children(parent_of, classes)
    above = [i for i, key in enumerate(classes) if key in children]
    if above:
        under = said[children[classes[above[0]]][0]]
        raise DataError(
            f"class {names[above[0]]!r} stands above other nodes of the taxonomy, such as {under!r}",
            "classes are leaves: give it a leaf of its own below that node",
        )
    root = next(k for k in children if k not in parent_of)
    dropped = len(said) - len(children) - len(classes)
    root, lone = _collapse(children, root)
    notes = []
    if dropped:
        notes.append(f"taxonomy: {dropped} nodes lie above no class and are left out")
    if lone:
        shown = ", ".join(said[k] for k in lone[:SHOWN]) + (" ..." if len(lone) > SHOWN else "")
        notes.append(
            f"taxonomy: {len(lone)} nodes with one child are replaced by the child: {shown}"
        )
    return _numbered(children, root, list(classes), list(names), said), notes


def _check_ways(parent_of: Mapping[Hashable, Hashable], said: Mapping[Hashable, str]) -> None:
    """Every node leads to one and the same root."""
    roots = [k for k in said if k not in parent_of]
    safe = set(roots)
    for key in parent_of:
        way: list[Hashable] = []
        seen: set[Hashable] = set()
        while key not in safe and key not in seen:
            way.append(key)
            seen.add(key)
            key = parent_of[key]
        if key not in safe:
            ring = way[way.index(key) :]
            shown = " -> ".join(repr(said[k]) for k in (*ring[:SHOWN], ring[0]))
            raise DataError(
                f"the taxonomy has a cycle: {shown}",
                "remove one of these lines: the parents of a node end at the root",
            )
        safe.update(seen)
    if len(roots) > 1:
        shown = ", ".join(repr(said[k]) for k in roots[:SHOWN])
        raise DataError(
            f"{len(roots)} nodes of the taxonomy have no parent: {shown}",
            "a tree has one root: give the others a parent"
            + _close(said[roots[1]], [said[k] for k in parent_of]),
        )


def _close(name: str, others: Iterable[str]) -> str:
    found = nearest(name, [o for o in others if o != name])
    return f" ({name!r}: {found})" if found.startswith("did you mean") else ""


def _check_classes(
    parent_of: Mapping[Hashable, Hashable],
    classes: Sequence[Hashable],
    names: Sequence[str],
    said: Mapping[Hashable, str],
) -> None:
    missing = [i for i, key in enumerate(classes) if key not in parent_of]
    if missing:
        shown = ", ".join(repr(names[i]) for i in missing[:SHOWN])
        first = names[missing[0]]
        raise DataError(
            f"{len(missing)} of {len(classes)} classes have no path in the taxonomy: {shown}",
            f"{first!r}: {nearest(first, {s for s in said.values() if s != first})} "
            "(leaves bear the class names; a line 'parent child' adds one)",
        )
    taken: dict[Hashable, int] = {}
    for i, key in enumerate(classes):
        if key in taken:
            raise DataError(
                f"classes {names[taken[key]]!r} and {names[i]!r} are one node, {said[key]!r}",
                "give each class a leaf of its own",
            )
        taken[key] = i


def _children(
    parent_of: Mapping[Hashable, Hashable], classes: Sequence[Hashable]
) -> dict[Hashable, list[Hashable]]:
    """Children of every node above a class, those above no class left out."""
    children: dict[Hashable, list[Hashable]] = {}
    known: set[Hashable] = set()
    for key in classes:
        while key not in known and key in parent_of:
            known.add(key)
            children.setdefault(parent_of[key], []).append(key)
            key = parent_of[key]
    return children


def _collapse(
    children: dict[Hashable, list[Hashable]], root: Hashable
) -> tuple[Hashable, list[Hashable]]:
    """Put the only child in the place of its parent; the root that is left, and who went."""
    lone = [k for k, below in children.items() if len(below) == 1]
    gone = {k: children.pop(k)[0] for k in lone}

    def last(key: Hashable) -> Hashable:
        while key in gone:
            key = gone[key]
        return key

    for key, below in children.items():
        children[key] = [last(k) for k in below]
    return last(root), lone


def _numbered(
    children: Mapping[Hashable, list[Hashable]],
    root: Hashable,
    classes: list[Hashable],
    names: list[str],
    said: Mapping[Hashable, str],
) -> Taxonomy:
    order, at = [root], 0
    while at < len(order):  # breadth first: sorted by depth
        order += [k for k in children[order[at]] if k in children]
        at += 1
    number = {key: i for i, key in enumerate(order)}
    above = {k: number[p] for p, below in children.items() for k in below}
    keys = [*classes, *order[1:]]
    called = _distinct([*names, *(said[k] for k in order[1:]), said[root]], len(names))
    return Taxonomy(tuple(above[k] for k in keys), tuple(called), len(classes))


def _distinct(names: list[str], classes: int) -> list[str]:
    """Inner nodes that are called like a class or each other get a number."""
    used = set(names[:classes])
    out = names[:classes]
    for name in names[classes:]:
        called, number = name, 2
        while called in used:
            called, number = f"{name} ({number})", number + 1
        used.add(called)
        out.append(called)
    return out
