"""The contract finds what it is for: parts that break a rule fail the check of that rule."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from longtail import registry
from longtail.engine.stage import Recipe, Stage
from longtail.functional.losses import cross_entropy
from longtail.losses import Loss
from longtail.registry import Record, part
from longtail.samplers import ClassDraw, Instance
from longtail.testing import checks_for
from longtail.types import Batch


class HeadIsFirst(Loss):
    """Takes class 0 for the most frequent one, ``(B, C)``."""

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(logits, target) * torch.where(target == 0, 0.5, 1.0)


class Careless(Loss):
    """Draws from torch's own generator, ``(B, C)``."""

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(logits + 0.01 * torch.rand(logits.shape), target)


class Narrow(Loss):
    """Exponentials without a maximum taken off, ``(B, C)``."""

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        return logits.exp().sum(1).log() - logits.gather(1, target[:, None])[:, 0]


class SaysOtherwise(ClassDraw):
    """Draws rows alike and says that it draws classes alike, ``(N,)``."""

    rows = Instance.rows

    def marginal(self, fraction: float) -> Any:
        return self.even()


class InPlace(torch.nn.Module):
    """Works on the view it is given, ``(B, ...)``."""

    draws = 1

    def bind(self, stats: Any) -> InPlace:
        return self

    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        return x.mul_(u[:, 0, None, None, None])


class HalfMixed(torch.nn.Module):
    """Forgets the weight of the partner."""

    draws, step_draws = 1, 1

    def forward(self, batch: Batch, u: Tensor, s: Tensor) -> Batch:
        half = torch.full((len(batch),), 0.5)
        return batch.with_(views=tuple(v / 2 for v in batch.views), mixed=[(batch.target, half)])


def idle(epochs: float = 10, margin: float = 0.5) -> Recipe:
    """An option that nobody reads."""
    return Recipe(stages=(Stage(epochs),), name="idle")


def unknown(epochs: float = 10) -> Recipe:
    """A part that is not registered."""
    return Recipe(stages=(Stage(epochs, loss=part("no_such_loss")),), name="unknown")


BROKEN = [
    ("losses", HeadIsFirst, (), "renaming_classes"),
    ("losses", HeadIsFirst, ("reduces_to_ce",), "uniform_counts_are_cross_entropy"),
    ("losses", HeadIsFirst, (), "prior_offset_is_the_formula"),
    ("losses", Careless, (), "finite_loss_and_gradient"),
    ("losses", Narrow, (), "half_precision"),
    ("samplers", SaysOtherwise, (), "frequencies_match"),
    ("augments", InPlace, ("view",), "leaves_its_input"),
    ("augments", HalfMixed, ("mix",), "mixing_weights"),
    ("recipes", idle, (), "every_option_is_used"),
    ("recipes", unknown, (), "parts_are_registered"),
]


@contextmanager
def registered(kind: str, target: Any, tags: tuple[str, ...]) -> Iterator[Record]:
    name = target.__name__.lower()
    record = Record(name, kind, target.__doc__, f"{__name__}:{target.__name__}", tags=tags)
    registry.records(kind)
    with (
        mock.patch.dict(registry._RECORDS[kind], {name: record}),
        mock.patch.object(Record, "load", loader(record, target)),
    ):
        yield record


def loader(record: Record, target: Any) -> Any:
    load = Record.load
    return lambda self: target if self == record else load(self)


@pytest.mark.parametrize(
    ("kind", "target", "tags", "rule"), BROKEN, ids=[f"{b[1].__name__}-{b[3]}" for b in BROKEN]
)
def test_a_broken_part_fails(kind: str, target: Any, tags: tuple[str, ...], rule: str) -> None:
    if rule == "prior_offset_is_the_formula":
        target.prior_offset = lambda self: torch.zeros(5)
    with registered(kind, target, tags) as record, torch.random.fork_rng(devices=[]):
        found = [c for c in checks_for(record) if c.name == rule]
        assert len(found) == 1
        with pytest.raises((AssertionError, registry.UnknownNameError)):
            found[0](record)


def test_a_sound_part_passes() -> None:
    record = registry.get("losses", "ldam")
    twin = replace(record, summary="the same loss under another record")
    for check in checks_for(twin):
        if check.name not in ("names_are_unique",):
            check(twin)
