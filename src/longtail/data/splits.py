"""Tail-safe splits: every class is trained on, and evaluated wherever it can be."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from longtail.errors import DataError

__all__ = ["labelled_rows", "split_sizes", "stratified", "tail_safe_split"]

Positions = NDArray[np.int64]

TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1
#: Classes with more rows than this take part in the repair of the total.
HEAD_OVER = 100


def split_sizes(
    count: int, *, test: bool = True, validation: bool = False, share: float = VALIDATION_SHARE
) -> tuple[int, int, int]:
    """``(test, validation, train)`` rows of a class with ``count`` rows.

    ``test = 0 if n < 2 else max(1, round(n / 5))``, ``validation = 0 if n < 5 else
    max(1, round(n / 10))`` (halves to even), and training keeps at least one.
    """
    first = 0 if not test or count < 2 else max(1, round(count / 5))
    wanted = count / 10 if share == VALIDATION_SHARE else count * share
    second = 0 if not validation or count < 5 else max(1, round(wanted))
    second = max(0, min(second, count - first - 1))
    return first, second, count - first - second


def _order(rows: Positions, ids: Sequence[str], name: str, seed: int, purpose: str) -> Positions:
    """Rows of a class in the order of its own stream: the same wherever the rows were listed."""
    listed = np.asarray(sorted(rows.tolist(), key=lambda i: (ids[i].encode("utf-8", "replace"), i)))
    if not len(listed):
        return rows
    key = [seed, zlib.crc32(name.encode("utf-8", "replace")), zlib.crc32(purpose.encode())]
    words = np.random.Philox(np.random.SeedSequence(key)).random_raw(len(listed))
    return np.asarray(listed[np.argsort(words, kind="stable")], dtype=np.int64)


def _repair(sizes: dict[int, list[int]], total: int) -> None:
    """Bring the test part to 19-21 % of all rows by moving rows of head classes only."""
    heads = sorted(
        (c for c, s in sizes.items() if sum(s) > HEAD_OVER), key=lambda c: -sum(sizes[c])
    )
    low, high = 0.19 * total, 0.21 * total
    moved = True
    while moved:
        moved = False
        for c in heads:
            now = sum(s[0] for s in sizes.values())
            test, _, train = sizes[c]
            count = sum(sizes[c])
            if now > high and test > max(20, round(count / 10)):
                sizes[c][0], sizes[c][2], moved = test - 1, train + 1, True
            elif now < low and test < round(count * 0.3):
                sizes[c][0], sizes[c][2], moved = test + 1, train - 1, True


def tail_safe_split(
    labels: NDArray[np.int64],
    names: Sequence[str],
    ids: Sequence[str],
    *,
    seed: int = 0,
    test: bool = True,
    validation: bool | float = False,
    group: Sequence[str] | None = None,
) -> dict[str, Positions]:
    """Positions of ``train``, ``test`` and ``validation`` (those asked for), each ascending.

    Per class (see :func:`split_sizes`) by a stream keyed by seed and class *name*, so that
    another class, or another order of rows, moves nothing. Then the total of the test part is
    brought to 20 % +- 1 % by moving rows of classes over 100 only.

    Args:
        labels: ``(N,)`` class ids.
        names: ``(C,)``.
        ids: ``N`` names of rows.
        seed: of the data.
        test: cut a test part.
        validation: cut a validation part: ``True`` is 10 %, or a share.
        group: ``N`` groups; the rows of a group stay together.
    """
    if group is not None:
        return _grouped(labels, names, group, seed=seed, test=test, validation=validation)
    share = VALIDATION_SHARE if validation is True else float(validation)
    rows = {c: np.flatnonzero(labels == c) for c in range(len(names))}
    sizes = {
        c: list(split_sizes(len(r), test=test, validation=bool(validation), share=share))
        for c, r in rows.items()
    }
    if test:
        _repair(sizes, len(labels))
    out: dict[str, list[Positions]] = {"test": [], "validation": [], "train": []}
    for c, members in rows.items():
        ordered = _order(members, ids, names[c], seed, "split")
        first, second, _ = sizes[c]
        for part, piece in zip(out, np.split(ordered, [first, first + second])):
            out[part].append(piece)
    wanted = {"test": test, "validation": bool(validation), "train": True}
    return {k: np.sort(np.concatenate(v)) for k, v in out.items() if wanted[k]}


def _grouped(
    labels: NDArray[np.int64],
    names: Sequence[str],
    group: Sequence[str],
    *,
    seed: int,
    test: bool,
    validation: bool | float,
) -> dict[str, Positions]:
    """Whole groups to test and validation, rarest classes first, nearest to the quotas.

    A group that holds all rows of a class stays in training. After the greedy rule of
    stratified group k-fold.
    """
    of = {g: k for k, g in enumerate(sorted(set(group)))}
    member = np.asarray([of[g] for g in group], dtype=np.int64)
    table = np.zeros((len(of), len(names)))
    np.add.at(table, (member, labels), 1)
    largest = int(table.sum(1).argmax())
    if len(of) < 3:
        raise DataError(
            f"{len(of)} groups cannot be split into training and test parts",
            "give more groups, or a split column",
        )
    if table[largest].sum() > 0.5 * len(labels):
        raise DataError(
            f"the group {sorted(of)[largest]!r} holds more than half of all rows",
            "split by something finer, or give a split column",
        )
    quota = {"test": TEST_SHARE if test else 0.0}
    quota["validation"] = VALIDATION_SHARE if validation is True else float(validation)
    place = _place_groups(table, quota, seed)
    of_row = place[member]
    out = {"train": np.flatnonzero(of_row == 0)}
    if test:
        out["test"] = np.flatnonzero(of_row == 1)
    if validation:
        out["validation"] = np.flatnonzero(of_row == 2)
    return out


def _place_groups(table: NDArray[np.float64], quota: dict[str, float], seed: int) -> Positions:
    """``(G,)`` part of each group (0 train, 1 test, 2 validation), from counts ``(G, C)``."""
    total = table.sum(0)
    share = np.divide(table, np.maximum(total, 1))
    words = np.random.Philox(np.random.SeedSequence([seed, 2])).random_raw(len(table))
    order = np.lexsort((words, -table.sum(1), -share.max(1)))
    place = np.zeros(len(table), dtype=np.int64)
    left = total.copy()
    held = {"test": np.zeros(len(total)), "validation": np.zeros(len(total))}
    for g in order.tolist():
        present = table[g] > 0
        if (left[present] - table[g][present] < 1).any():
            continue  # the last rows of a class in training
        best, gain = "", 0.0
        for part in held:
            want = quota[part] * total
            before = ((held[part] - want) ** 2 / np.maximum(want, 1)).sum()
            after = ((held[part] + table[g] - want) ** 2 / np.maximum(want, 1)).sum()
            if quota[part] and before - after > gain:
                best, gain = part, float(before - after)
        if best:
            place[g] = 1 if best == "test" else 2
            held[best] += table[g]
            left -= table[g]
    return place


def stratified(
    labels: NDArray[np.int64],
    names: Sequence[str],
    ids: Sequence[str],
    *,
    share: float,
    seed: int = 0,
    purpose: str = "share",
) -> Positions:
    """Ascending positions of ``max(1, round(share * n_c))`` rows of every class with rows."""
    kept = []
    for c, name in enumerate(names):
        rows = np.flatnonzero(labels == c)
        ordered = _order(rows, ids, name, seed, purpose)
        kept.append(ordered[: max(1, round(share * len(rows)))])
    return np.sort(np.concatenate(kept))


def labelled_rows(
    labels: NDArray[np.int64], names: Sequence[str], ids: Sequence[str], share: float, seed: int
) -> tuple[Positions, Positions]:
    """Positions that keep their label (at least one a class), and the rest."""
    kept = stratified(labels, names, ids, share=share, seed=seed, purpose="labelled")
    hidden = np.setdiff1d(np.arange(len(labels)), kept)
    return kept, hidden
