"""Checks of metrics."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.errors import UnboundPartError
from longtail.registry import Record
from longtail.testing.contract import check
from longtail.testing.tools import (
    CLASSES,
    COUNTS,
    RENAMED,
    build,
    close,
    logits_and_labels,
    raises_two_lines,
)

__all__: list[str] = []

ERRORS = ("calibration",)


def _value(
    record: Record, z: Tensor, y: Tensor, counts: Tensor | tuple[int, ...] = COUNTS
) -> float:
    metric = build(record, class_counts=counts)
    metric.update(z, y)
    value = metric.compute()
    assert isinstance(value, float)
    return value


@check("metrics")
def batches_add_up(record: Record) -> None:
    """In one batch, in three, or in another order: the same number; ``reset`` forgets."""
    z, y = logits_and_labels(rows=90, scale=1.0)
    whole = _value(record, z, y)
    metric = build(record, class_counts=COUNTS)
    metric.update(z.flip(0), (y + 1) % CLASSES)
    metric.reset()
    for rows in torch.arange(90).flip(0).tensor_split(3):
        metric.update(z[rows], y[rows])
    close(metric.compute(), whole, tol=1e-6)


@check("metrics")
def renaming_classes(record: Record) -> None:
    """Counts, logits and labels renamed together: the same number."""
    z, y = logits_and_labels(rows=90, scale=1.0)
    renamed = _value(
        record, z[:, RENAMED], torch.argsort(RENAMED)[y], torch.tensor(COUNTS)[RENAMED]
    )
    close(renamed, _value(record, z, y), tol=1e-6)


@check("metrics")
def perfect_is_best(record: Record) -> None:
    """Certain and right: 1 where more is better, 0 for an error."""
    z, y = logits_and_labels(rows=90)
    sure = 200.0 * torch.nn.functional.one_hot(y, CLASSES).double()
    best = 0.0 if record.family in ERRORS else 1.0
    close(_value(record, sure, y), best, tol=1e-6)
    assert abs(_value(record, z, y) - best) > 1e-3


@check("metrics")
def unbound_use(record: Record) -> None:
    """Without class counts it says so, in two lines."""
    z, y = logits_and_labels()
    raises_two_lines(UnboundPartError, lambda: build(record).update(z, y))
