"""Tables of a page as plain data: columns, rows, caption. The template draws them.

Shape legend: ``C`` classes, ``N`` test rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from longtail.metrics import confused_pairs, wilson
from longtail.reports.runs import GROUPS, RunFiles
from longtail.reports.words import decimal, integer, percent

__all__ = [
    "Column",
    "Row",
    "Table",
    "calibration_table",
    "class_columns",
    "group_table",
    "pairs_table",
    "whole",
    "worst_table",
]

PAIRS_SHOWN = 12
FEW_ROWS = 10  #: classes with fewer test rows are shown in grey


@dataclass(frozen=True)
class Column:
    """A heading; ``numeric`` cells are right-aligned, ``title`` explains on hover."""

    name: str
    numeric: bool = True
    title: str = ""


@dataclass(frozen=True)
class Row:
    """Cells as shown, and a mark for the style (``base``, ``better``, ``worse``, ``faint``)."""

    cells: Sequence[str]
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a caption; one of kind ``whole`` is never cut to a box that scrolls down."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    kind: str = ""


def _columns(text: Iterable[str], numbers: Iterable[str]) -> list[Column]:
    return [Column(t, False) for t in text] + [Column(n) for n in numbers]


def worst_table(run: RunFiles) -> Table | None:
    """The classes with the lowest recall."""
    worst = run.test.get("worst") or ()
    if not worst:
        return None
    rows = [
        Row(
            [str(w.get("class")), percent(w.get("recall")), integer(w.get("n_train")),
             integer(w.get("n_test"))],
            "faint" if (w.get("n_test") or 0) < FEW_ROWS else "",
        )
        for w in worst[: max(3, run.num_classes // 2)]
    ]  # fmt: skip
    caption = "Worst classes by recall (%); grey: under 10 rows to judge by"
    return Table(caption, _columns(["class"], ["recall", "n train", f"n {run.part}"]), rows)


def pairs_table(run: RunFiles) -> Table | None:
    """The pairs of classes that are most often confused; ``None`` without predictions."""
    if run.predictions is None:
        return None
    names = [f"{name} ({integer(n)})" for name, n in zip(run.class_names, run.counts, strict=True)]
    said = run.predictions
    rows = [
        Row([pair["target"], pair["prediction"], integer(pair["count"]), percent(pair["share"])])
        for pair in confused_pairs(said.target, said.prediction, PAIRS_SHOWN, names=names)
    ]
    columns = _columns(["true class", "predicted as"], ["rows", "% of class"])
    return Table("Most confused pairs; in brackets the training samples", columns, rows)


def group_table(run: RunFiles) -> Table:
    """Recall, calibration and size of each shot group."""
    rule = (run.metrics.get("groups") or {}).get("rule") or "rule not recorded"
    columns = _columns(
        ["group"], ["classes", "n train", f"n {run.part}", "recall", "95 % interval"]
    )
    tests, bounds = run.n_test, run.test.get("intervals") or {}
    rows = []
    for name, ids in run.group_ids.items():
        total = None if tests is None else tests[ids].sum()
        span = bounds.get(name)
        shown = f"{percent(span[0])} to {percent(span[1])}" if span else "-"
        rows.append(
            Row([name, integer(len(ids)), integer(run.counts[ids].sum() if ids else 0),
                 integer(total), percent(run.test.get(name)), shown])
        )  # fmt: skip
    return Table(f"Shot groups ({rule}); recall in %", columns, rows)


def calibration_table(run: RunFiles) -> Table:
    """ECE of all rows and of each group, by true and by predicted class."""
    test = run.test
    true, said = test.get("ece_groups") or {}, test.get("ece_groups_predicted") or {}
    floor = test.get("ece_floor")
    shown = (
        f"{decimal(test.get('ece'))} ({decimal(floor[0])})" if floor else decimal(test.get("ece"))
    )
    rows = [Row(["all rows", shown, "-"])]
    rows += [Row([g, decimal(true.get(g)), decimal(said.get(g))]) for g in GROUPS]
    columns = [
        Column("rows", False),
        Column("ECE, by true class", title="in brackets: what a perfectly calibrated model shows"),
        Column("by predicted class"),
    ]
    caption = "Expected calibration error, 15 bins of equal width; - means under 20 rows"
    if floor:
        caption += "; in brackets the mean of a perfectly calibrated model (noise floor)"
    return Table(caption, columns, rows)


def class_columns(run: RunFiles) -> dict[str, Any]:
    """The table of all classes as columns of plain values, for the page's script."""
    tests, predicted, recall = run.n_test, run.n_predicted, run.recall
    columns: list[dict[str, Any]] = [
        {"name": "class", "kind": "text", "values": list(run.class_names)},
        {"name": "group", "kind": "text", "values": run.group_of_class()},
        {"name": "n train", "kind": "count", "values": whole(run.counts)},
        {"name": "recall %", "kind": "share", "values": [round(v, 4) for v in recall.tolist()]},
    ]
    if tests is not None:
        columns.insert(3, {"name": f"n {run.part}", "kind": "count", "values": tests.tolist()})
        spans = [_wilson(r, n) for r, n in zip(recall.tolist(), tests.tolist(), strict=True)]
        columns.append({"name": "95 % interval", "kind": "range", "values": spans})
    if predicted is not None:
        columns.append({"name": "predicted", "kind": "count", "values": predicted.tolist()})
    faint = [0] * run.num_classes if tests is None else (tests < FEW_ROWS).astype(int).tolist()
    return {"columns": columns, "groups": run.group_of_class(), "faint": faint, "sort": 2}


def whole(values: Any) -> list[int | None]:
    """Counts as whole numbers; ``None`` where unknown."""
    return [round(v) if np.isfinite(v) else None for v in values.tolist()]


def _wilson(recall: float, rows: int) -> list[float] | None:
    if not rows or not np.isfinite(recall):
        return None
    low, high = wilson(round(recall * rows), rows)
    return [round(low, 3), round(high, 3)]
