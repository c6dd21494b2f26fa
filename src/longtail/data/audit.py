"""A look at the data before the first step: its tail, its files, its leaks, its blind spots."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtail.data.dataset import Dataset, Split
from longtail.data.sources import load
from longtail.data.stores import FileStore
from longtail.errors import DataError
from longtail.metrics.shape import shape

__all__ = ["audit"]

SCHEMA = 1
LISTED, CHUNK = 50, 1_024
#: Above this many files, duplicates are told by their bytes instead of their pixels.
DECODED = 20_000
TINY = (2, 5, 20)
LABELLED = ("train", "validation", "test")


def audit(data: Any, **options: Any) -> dict[str, Any]:
    """Counts, shape of the tail, shot groups, duplicates, conflicts, and what cannot be evaluated.

    Args:
        data: a ``Dataset``, or anything :func:`longtail.data.load` takes.
        **options: of ``load``; unreadable images are listed unless ``on_bad="error"``.

    Returns:
        Plain dictionaries, lists, numbers and strings (JSON): ``name``, ``modality``,
        ``classes``, ``samples``, ``splits`` (rows and counts of each), ``class_names``,
        ``counts`` (training), ``shape`` (see :func:`longtail.metrics.shape.shape`) with
        ``imbalance_factor``, ``gini``, ``entropy`` and ``effective_classes`` repeated on top,
        ``groups`` (``rule``, and names of ``many``, ``medium``, ``few``), ``unreadable``,
        ``duplicates`` (``within``, ``across``, ``conflicts``), ``not_evaluable``,
        ``unseen_classes``, ``similar_names``, ``tiny_classes``, ``majority``, ``findings`` (one
        line each, the worst first) and ``notes`` of the reader. An infinite imbalance factor
        (a class without training samples) is ``None``.
    """
    dataset = load(data, **({"on_bad": "skip"} | options))
    names = dataset.class_names
    counts = dataset.counts.tolist()
    measures = {k: _finite(v) for k, v in shape(counts).items()}
    groups, rule = dataset.stats().groups()
    unseen = [n for n, k in zip(names, counts) if not k]
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "modality": dataset.modality,
        "input_shape": list(dataset.input_spec.shape),
        "classes": len(names),
        "samples": sum(len(s) for s in dataset.splits.values()),
        "splits": {
            k: {"rows": len(s), "counts": s.counts(len(names)).tolist()}
            for k, s in dataset.splits.items()
        },
        "class_names": list(names),
        "counts": counts,
        **{k: measures[k] for k in ("imbalance_factor", "gini", "entropy", "effective_classes")},
        "shape": measures,
        "groups": {"rule": rule, **{g: [names[i] for i in v.tolist()] for g, v in groups.items()}},
        "unreadable": list(dataset.unreadable),
        "duplicates": _duplicates(dataset, groups),
        "not_evaluable": list(dataset.not_evaluable),
        "unseen_classes": unseen,
        "similar_names": _similar(names),
        "tiny_classes": {
            f"under_{k}": [n for n, c in zip(names, counts) if 0 < c < k] for k in TINY
        },
        "majority": _majority(names, counts),
        "notes": list(dataset.notes),
    }
    found["findings"] = _findings(found)
    return found


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _majority(names: tuple[str, ...], counts: list[int]) -> dict[str, Any] | None:
    """The class that holds more than half of the training rows, if one does."""
    top = int(np.argmax(counts))
    share = counts[top] / max(1, sum(counts))
    return {"class": names[top], "share": share} if share > 0.5 else None


def _similar(names: tuple[str, ...]) -> list[list[str]]:
    """Class names that differ only in case, blanks, joining marks or Unicode form."""
    table: dict[str, list[str]] = defaultdict(list)
    for name in names:
        plain = unicodedata.normalize("NFKC", name).casefold()
        key = "".join(ch for ch in plain if not ch.isspace() and ch not in "_-")
        table[key or plain].append(name)
    return [v for v in table.values() if len(v) > 1]


def _digests(split: Split, unreadable: list[str]) -> Iterator[bytes]:
    """SHA-256 of each row: decoded pixels, table row or tokens; of many files their bytes."""
    if isinstance(split.store, FileStore) and len(split) > DECODED:
        for path in split.store.paths:
            yield hashlib.sha256(Path(path).read_bytes()).digest()
        return
    for index in torch.split(torch.arange(len(split)), CHUNK):
        for row, position in zip(_rows(split, index, unreadable), index.tolist()):
            if row is None:
                yield f"unreadable {position} {id(split)}".encode()
            else:
                yield hashlib.sha256(row.contiguous().numpy().data).digest()


def _rows(split: Split, index: Tensor, unreadable: list[str]) -> list[Tensor | None]:
    """The rows at ``index``; a file that cannot be read is ``None`` and is listed."""
    try:
        return list(split.store.fetch(index).cpu())
    except DataError:
        rows: list[Tensor | None] = []
        for i in index.tolist():
            try:
                rows.append(split.store.fetch(torch.tensor([i]))[0].cpu())
            except DataError:
                unreadable.append(split.ids[i])
                rows.append(None)
        return rows


def _duplicates(dataset: Dataset, groups: Mapping[str, Tensor]) -> dict[str, Any]:
    """Clusters of identical rows: within a split, across splits, and with different labels."""
    where: dict[bytes, list[tuple[str, int]]] = defaultdict(list)
    lost: list[str] = []
    for name, split in dataset.splits.items():
        for position, digest in enumerate(_digests(split, lost)):
            where[digest].append((name, position))
    clusters = [v for v in where.values() if len(v) > 1]
    within = {k: {"clusters": 0, "extra_rows": 0} for k in dataset.splits}
    across: dict[str, dict[str, int]] = {}
    conflicts, leaked = [], []
    for cluster in clusters:
        members: dict[str, list[int]] = defaultdict(list)
        for name, position in cluster:
            members[name].append(position)
        for name, positions in members.items():
            if len(positions) > 1:
                within[name]["clusters"] += 1
                within[name]["extra_rows"] += len(positions) - 1
        kept = [k for k in dataset.splits if k in members]
        for i, first in enumerate(kept):
            for second in kept[i + 1 :]:
                pair = across.setdefault(f"{first}+{second}", {"clusters": 0, "rows": 0})
                pair["clusters"] += 1
                pair["rows"] += len(members[second])
        if "test" in members and "train" in members:
            leaked += members["test"]
        labels = _labels(dataset, cluster)
        if len(labels) > 1:
            conflicts.append(_example(dataset, cluster, sorted(labels)))
    return {
        "compared": "files" if _by_bytes(dataset) else "decoded rows",
        "clusters": len(clusters),
        "within": within,
        "across": across,
        "conflicts": len(conflicts),
        "conflict_examples": conflicts[:LISTED],
        "examples": [_example(dataset, c) for c in clusters[:LISTED]],
        "leaked_test_rows": len(leaked),
        "leaked_share": _leaked(dataset, leaked, groups),
        "unreadable": lost,
    }


def _by_bytes(dataset: Dataset) -> bool:
    return any(isinstance(s.store, FileStore) and len(s) > DECODED for s in dataset.splits.values())


def _labels(dataset: Dataset, cluster: list[tuple[str, int]]) -> set[str]:
    found = {int(dataset.splits[k].labels[i]) for k, i in cluster if k in LABELLED}
    return {dataset.class_names[c] for c in found if c >= 0}


def _example(
    dataset: Dataset, cluster: list[tuple[str, int]], labels: list[str] | None = None
) -> dict[str, Any]:
    rows = [{"split": k, "id": dataset.splits[k].ids[i]} for k, i in cluster[:8]]
    out: dict[str, Any] = {"rows": rows, "size": len(cluster)}
    return out if labels is None else {**out, "labels": labels}


def _leaked(
    dataset: Dataset, leaked: list[int], groups: Mapping[str, Tensor]
) -> dict[str, float | None]:
    """Share of test rows, overall and per shot group, that occur in training too."""
    if dataset.test is None:
        return {}
    labels = dataset.test.labels
    mask = torch.zeros(len(labels), dtype=torch.bool)
    mask[torch.tensor(leaked, dtype=torch.int64)] = True
    out: dict[str, float | None] = {"all": float(mask.double().mean())}
    for name, classes in groups.items():
        rows = mask[torch.isin(labels, classes)]
        out[name] = float(rows.double().mean()) if len(rows) else None
    return out


def _findings(found: dict[str, Any]) -> list[str]:
    """What to look at, the worst first."""
    same = found["duplicates"]
    unreadable = len(found["unreadable"]) + len(same["unreadable"])
    factor = found["imbalance_factor"]
    lines = [
        (unreadable, f"{unreadable} files cannot be read"),
        (
            same["conflicts"],
            f"{same['conflicts']} sets of identical rows carry different labels",
        ),
        (
            same["leaked_test_rows"],
            f"{same['leaked_test_rows']} test rows also occur in train",
        ),
        (
            len(found["unseen_classes"]),
            f"{len(found['unseen_classes'])} classes have no training sample",
        ),
        (
            len(found["not_evaluable"]),
            f"{len(found['not_evaluable'])} classes have no test sample and cannot be evaluated",
        ),
        (
            len(found["similar_names"]),
            f"{len(found['similar_names'])} sets of class names differ only in case, blanks or "
            "Unicode form",
        ),
        (
            len(found["tiny_classes"]["under_5"]),
            f"{len(found['tiny_classes']['under_5'])} classes have fewer than 5 training samples",
        ),
        (
            found["majority"],
            f"one class holds {(found['majority'] or {}).get('share', 0):.0%} of the training rows",
        ),
        (
            factor is None or factor > 1,
            f"imbalance factor {'infinite' if factor is None else f'{factor:.4g}'}, "
            f"Gini {found['gini']:.3f}, {found['effective_classes']:.1f} effective of "
            f"{found['classes']} classes",
        ),
    ]
    return [line for said, line in lines if said]
