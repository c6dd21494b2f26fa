"""What the engine reads of a recipe while it trains: fields, parts and draws."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from longtail.engine.optim import OPTIMIZERS
from longtail.engine.runner import Run, RunConfig, fit, load_run
from longtail.engine.stage import Recipe, Stage, make_recipe
from longtail.registry import PartSpec, Record, get
from longtail.samplers import Sampler
from longtail.testing.toy import toy_data

__all__ = ["Trace", "fields_set", "named_parts", "trace"]

#: modules that copy or print a recipe: their reading is no use of a field
COPIERS = (
    "dataclasses",
    "longtail.engine.stage",
    "longtail.engine.overrides",
    "longtail.testing.trace",
)
#: field of a recipe or stage -> kind of its part specs
KINDS = {
    "sampler": "samplers", "loss": "losses", "objective": "objectives", "augment": "augments",
    "views": "augments", "schedule": "schedules", "update": "updates", "before": "handovers",
    "expand": "handovers", "network": "networks", "head": "heads", "projector": "heads",
    "finish": "handovers", "adjusters": "adjusters",
}  # fmt: skip
INNER = {"weight": "weights", "loss": "losses", "sampler": "samplers", "head": "heads"}


@dataclass
class Trace:
    """A short run on the image toy, and what was read on the way.

    Attributes:
        run: the trained run.
        fields: names of fields read, for ``Recipe`` and ``Stage``.
        parts: ``(kind, name)`` of every record that was loaded.
        draws: class names of samplers that drew.
        read_back: test logits of the run as read from its folder.
    """

    fields: dict[str, set[str]] = field(default_factory=lambda: {"Recipe": set(), "Stage": set()})
    parts: set[tuple[str, str]] = field(default_factory=set)
    draws: set[str] = field(default_factory=set)
    run: Run = None  # type: ignore[assignment]
    read_back: Tensor = None  # type: ignore[assignment]


@functools.lru_cache(maxsize=2)
def trace(name: str) -> Trace:
    """Train a recipe with default options, one epoch of two steps a stage, and watch."""
    seen = Trace()
    recipe = make_recipe(get("recipes", name))
    data = toy_data()
    assert data.test is not None
    rows = data.test.store.fetch(torch.arange(len(data.test.labels)))
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(
            recipe=name,
            epochs=len(recipe.stages),
            batch_size=18,
            device="cpu",
            output=Path(folder) / "run",
            progress=False,
        )
        with _watch_fields(seen), _watch_parts(seen), _watch_draws(seen):
            seen.run = fit(config, dataset=data)
        seen.read_back = load_run(Path(folder) / "run").predict_logits(rows)
    return seen


def fields_set(value: Any, cls: type) -> set[str]:
    """Fields whose value is not the default."""
    names = set()
    for each in dataclasses.fields(cls):
        if each.name in ("stages", "name", "options") or each.default is dataclasses.MISSING:
            continue
        if getattr(value, each.name) != each.default:
            names.add(each.name)
    return names


def named_parts(recipe: Recipe) -> list[tuple[str, PartSpec]]:
    """``(kind, spec)`` of every part of a recipe, inner ones too."""
    found: list[tuple[str, PartSpec]] = []
    owners: list[Any] = [recipe, *recipe.stages]
    for owner in owners:
        for each in dataclasses.fields(owner):
            value = getattr(owner, each.name)
            if each.name == "optimizer":
                assert value is None or value.name in OPTIMIZERS, value
            elif each.name in KINDS:
                found += _specs(KINDS[each.name], value)
    return found


def _specs(kind: str, value: Any) -> list[tuple[str, PartSpec]]:
    if isinstance(value, tuple):
        return [hit for v in value for hit in _specs(kind, v)]
    if not isinstance(value, PartSpec):
        return []
    inner = [hit for v in value.inner for hit in _specs(kind, v)]
    keyed = [hit for k, v in value.options for hit in _specs(INNER.get(k, kind), v)]
    return [(kind, value), *inner, *keyed]


@contextlib.contextmanager
def _watch_fields(seen: Trace) -> Iterator[None]:
    """Record attribute access by the engine, copies and printing apart."""

    def watcher(cls: type) -> Any:
        names = {f.name for f in dataclasses.fields(cls)}

        def read(self: Any, name: str) -> Any:
            if name in names and sys._getframe(1).f_globals.get("__name__") not in COPIERS:
                seen.fields[cls.__name__].add(name)
            return object.__getattribute__(self, name)

        return mock.patch.object(cls, "__getattribute__", read)

    with watcher(Recipe), watcher(Stage):
        yield


@contextlib.contextmanager
def _watch_parts(seen: Trace) -> Iterator[None]:
    load = Record.load

    def watched(self: Record) -> Any:
        seen.parts.add((self.kind, self.name))
        return load(self)

    with mock.patch.object(Record, "load", watched):
        yield


@contextlib.contextmanager
def _watch_draws(seen: Trace) -> Iterator[None]:
    draw = Sampler.draw

    def watched(self: Sampler, epoch: int) -> Tensor:
        seen.draws.add(type(self).__name__)
        return draw(self, epoch)

    with mock.patch.object(Sampler, "draw", watched):
        yield
