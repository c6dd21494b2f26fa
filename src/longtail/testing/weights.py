"""Checks of class weights."""

from __future__ import annotations

import copy
import pickle

import torch

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
from longtail.types import ClassStats, Progress

__all__: list[str] = []

CLOCK = ((0, 0.0), (3, 0.3), (7, 0.7), (8, 0.8), (9, 0.9))


@check("weights")
def mean_is_one(record: Record) -> None:
    """``(C,)`` float64, not negative, of mean one at any moment of a stage."""
    weight = build(record, class_counts=COUNTS)
    progress = Progress(epochs=10)
    weight.attach(progress)
    for epoch, _ in CLOCK:
        progress.set(epoch)
        value = weight()
        assert value.shape == (CLASSES,)
        assert value.dtype == torch.float64
        assert bool((value > 0).all())
        close(value.mean(), 1.0)


@check("weights")
def rarer_is_not_lighter(record: Record) -> None:
    """A class with fewer samples never weighs less."""
    weight = build(record, class_counts=COUNTS)
    progress = Progress(epochs=10)
    weight.attach(progress)
    order = torch.argsort(torch.tensor(COUNTS), descending=True)
    for epoch, _ in CLOCK:
        progress.set(epoch)
        assert bool((weight()[order].diff() >= -1e-12).all())


@check("weights")
def renaming_classes(record: Record) -> None:
    """The counts renamed: the weights renamed."""
    for epoch in (0, 9):
        pair = [
            build(record, class_counts=c)
            for c in (torch.tensor(COUNTS), torch.tensor(COUNTS)[RENAMED])
        ]
        for weight in pair:
            weight.set_epoch(epoch, 10)
        close(pair[1](), pair[0]()[RENAMED])


@check("weights")
def uniform_counts_weigh_alike(record: Record) -> None:
    """Equal counts: ones, at any moment."""
    weight = build(record, class_counts=[40] * CLASSES)
    for epoch in (0, 9):
        weight.set_epoch(epoch, 10)
        close(weight(), torch.ones(CLASSES))


@check("weights")
def class_without_samples(record: Record) -> None:
    """A masked class weighs nothing; a smoothed one is finite."""
    for epoch in (0, 9):
        masked = build(record, class_counts=ClassStats((30, 0, 5), on_empty="ignore"))
        smooth = build(record, class_counts=ClassStats((30, 0, 5), on_empty="smooth"))
        for weight in (masked, smooth):
            weight.set_epoch(epoch, 10)
            assert torch.isfinite(weight()).all()
        assert float(masked()[1]) == 0.0


@check("weights")
def unbound_use(record: Record) -> None:
    """Without class counts it says so, in two lines."""
    raises_two_lines(UnboundPartError, build(record))


@check("weights")
def copies_and_pickles(record: Record) -> None:
    """Copies weigh alike and keep their own clock."""
    weight = build(record, class_counts=COUNTS)
    for twin in (copy.deepcopy(weight), pickle.loads(pickle.dumps(weight))):
        close(twin(), weight(), tol=0)
        twin.set_epoch(9, 10)
        assert int(weight.progress.epoch) == 0


@check("weights")
def any_loss_takes_it(record: Record) -> None:
    """Inside a loss it is bound with the loss, and reads the loss's clock."""
    from longtail.losses import CrossEntropy

    z, y = logits_and_labels()
    loss = CrossEntropy(weight=build(record), class_counts=COUNTS)
    alone = build(record, class_counts=COUNTS)
    for epoch in (0, 9):
        loss.set_epoch(epoch, 10)
        alone.set_epoch(epoch, 10)
        expected = CrossEntropy(weight=alone())(z, y)
        close(loss(z, y), expected)
