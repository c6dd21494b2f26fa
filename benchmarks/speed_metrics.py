"""Metrics at 8,142 classes against the usual ways.

    python benchmarks/speed_metrics.py

A million predicted labels: recall of every class with the shot groups, against scikit-learn's
``recall_score(average=None)`` and against its confusion matrix. Batches of 256 score rows: one update of
all sums (recall, calibration, likelihood, Brier) against the softmax, maximum and confusion matrix
that a streaming metric works with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.metrics import confusion_matrix, recall_score

from longtail.metrics import Accumulator, label_metrics
from longtail.types import ClassStats
from timing import ratios, save

CLASSES, ROWS, BATCH = 8142, 1_000_000, 256
COMMAND = "python benchmarks/speed_metrics.py"


def labels() -> tuple[np.ndarray, np.ndarray, ClassStats]:
    """Predictions that are right for 60 % of the rows; counts as long-tailed as iNaturalist's."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, CLASSES, ROWS)
    other = rng.integers(0, CLASSES, ROWS)
    prediction = np.where(rng.random(ROWS) < 0.6, target, other)
    counts = np.maximum(1000 * 500.0 ** (-np.arange(CLASSES) / (CLASSES - 1)), 2).astype(int)
    return prediction, target, ClassStats(counts)


def from_labels() -> list[dict[str, Any]]:
    """Rows of the table for a million labels."""
    prediction, target, stats = labels()

    def ours() -> np.ndarray:
        return np.asarray(label_metrics(prediction, target, stats)["per_class"])

    def sklearn_recall() -> np.ndarray:
        return np.asarray(recall_score(target, prediction, average=None))

    def sklearn_confusion() -> np.ndarray:
        table = confusion_matrix(target, prediction)
        return np.asarray(table.diagonal() / table.sum(1))

    for other in (sklearn_recall, sklearn_confusion):
        np.testing.assert_allclose(ours(), other(), rtol=1e-12)
    found = ratios({"ours": ours, "recall": sklearn_recall}, "ours", rounds=9)
    matrix = ratios({"ours": ours, "confusion": sklearn_confusion}, "ours", rounds=3)
    return [
        row("recall of each class and groups, 1e6 labels", found["recall"], "faster than "
            "scikit-learn recall_score(average=None)", ">= 90"),
        row("recall of each class and groups, 1e6 labels", matrix["confusion"], "faster than "
            "scikit-learn confusion_matrix", ""),
    ]  # fmt: skip


def from_scores() -> list[dict[str, Any]]:
    """Rows of the table for a batch of scores."""
    g = torch.Generator().manual_seed(0)
    z = torch.randn(BATCH, CLASSES, generator=g) * 3
    y = torch.randint(0, CLASSES, (BATCH,), generator=g)
    sums = Accumulator(CLASSES)
    table = torch.zeros(CLASSES * CLASSES, dtype=torch.int64)

    def ours() -> None:
        sums.update(z, y)

    def plain() -> None:
        z.softmax(1).max(1)

    def matrix() -> None:
        predicted = z.softmax(1).argmax(1)
        table.add_(torch.bincount(y * CLASSES + predicted, minlength=CLASSES * CLASSES))

    cost = ratios({"ours": ours, "plain": plain}, "plain", rounds=9)
    gain = ratios({"ours": ours, "matrix": matrix}, "ours", rounds=3)
    return [
        row("all sums of a batch of 256 score rows", cost["ours"], "the time of softmax and max", ""),
        row("all sums of a batch of 256 score rows", gain["matrix"],
            "faster than a C x C count a batch", ""),
    ]  # fmt: skip


def row(what: str, found: dict[str, float], against: str, goal: str) -> dict[str, Any]:
    """One line of the result."""
    return {"what": what, "against": against, "goal": goal, **found}


def main() -> None:
    """Measure and keep."""
    parts: tuple[Callable[[], list[dict[str, Any]]], ...] = (from_labels, from_scores)
    save("metrics", [line for part in parts for line in part()], COMMAND)


if __name__ == "__main__":
    main()
