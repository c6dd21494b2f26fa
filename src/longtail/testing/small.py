"""Checks of schedules, updates, handovers and data sets."""

from __future__ import annotations

import math
import tempfile
from typing import Any

import torch

from longtail import registry
from longtail.data import load
from longtail.engine.stage import Recipe, Stage, make_recipe
from longtail.engine.state import RunState
from longtail.errors import DataError
from longtail.registry import PartSpec, Record, instantiate, part
from longtail.testing.contract import check
from longtail.testing.tools import build, raises_two_lines
from longtail.testing.toy import first_batch, toy_stage, toy_state

__all__: list[str] = []


@check("schedules")
def rate_over_a_stage(record: Record) -> None:
    """A positive factor of at most one at every fraction: a pure function that starts and ends."""
    for options in ({}, {"warmup": 0.1}):
        rate = record.load()(**{**dict(record.case), **options})
        values = [rate(k / 200) for k in range(201)]
        assert all(math.isfinite(v) and 0 <= v <= 1 + 1e-9 for v in values)
        assert max(values) > 0.9
        assert all(v > 0 for v in values[:-1])
        assert values == [rate(k / 200) for k in range(201)]
    assert values[1] < values[20], "the warm-up does not rise"


@check("schedules")
def refuses_a_wrong_warmup(record: Record) -> None:
    """A warm-up is a fraction of the stage: two lines."""
    raises_two_lines(ValueError, lambda: record.load()(warmup=1.5))


@check("updates")
def one_step(record: Record) -> None:
    """It makes one step: parameters move, the terms are finite, what waited is committed."""
    spec = part(record.name, **dict(record.case))
    built = toy_stage(Recipe((Stage(1, update=spec),)))
    batch = first_batch(built)
    before = [p.detach().clone() for p in built.ctx.model.parameters()]
    pushed: list[int] = []

    def closure(ctx, micro):  # type: ignore[no-untyped-def]
        terms = built.objective.terms(ctx, micro)
        terms.commit = [lambda: pushed.append(len(micro))]
        return terms

    for group in built.ctx.optimizers["model"].param_groups:
        group["lr"] = 0.1
    terms = built.ctx.update(built.ctx, closure, batch)
    assert torch.isfinite(terms.total)
    assert any(
        not torch.equal(a, b) for a, b in zip(before, built.ctx.model.parameters(), strict=True)
    )
    assert sum(pushed) == len(batch)


#: what a handover needs of the head -> a head that has it
_HEADS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("fitted_head", "ncm", {"normalise": None}),
    ("bound_head", "gaussian_proto", {"tie": "tail"}),
)


def _head(record: Record) -> PartSpec:
    """What it says it needs, or the head of the first recipe that names it; else a linear one."""
    for need, name, options in _HEADS:
        if need in record.needs:
            return part(name, **options)
    for known in registry.records("recipes"):
        made = make_recipe(known)
        specs = [*made.finish, *(spec for stage in made.stages for spec in stage.before)]
        if any(spec.name == record.name for spec in specs):
            return made.head
    return part("linear")


def _between_stages(record: Record) -> RunState:
    """A toy run whose first stage has just ended."""
    stages = (Stage(1, name="first"), Stage(1, name="second"))
    state = toy_state(Recipe(stages, head=_head(record)))
    hidden = state.dataset.unlabelled
    store = type(hidden.store)(torch.cat([state.start.store.data, hidden.store.data]))
    for data in (state.start, state.data):
        data.store = store
    state.unlabelled = len(state.start) + torch.arange(len(hidden.labels))
    state.ends["first"] = {k: v.clone() for k, v in state.network.state_dict().items()}
    state.datas["first"] = state.data
    state.structure = {"groups": [[0], [1], [2], [3]], "root": "first"}
    return state


def _apply(record: Record) -> tuple[RunState, tuple[Stage, ...]]:
    state = _between_stages(record)
    handover = build(record)
    handover(state)
    return state, handover.expand(state, state.stages[1])


@check("handovers")
def leaves_a_run_that_can_go_on(record: Record) -> None:
    """Network and data fit each other afterwards; stages it expands to are stages."""
    state, stages = _apply(record)
    out = next(iter(state.outputs(state.data)))[0]
    assert out.logits.shape[1] == state.stats.num_classes
    assert torch.isfinite(out.logits).all()
    assert int(state.data.labels.min()) >= 0
    assert len(state.data.index) == len(state.data.labels)
    assert all(isinstance(s, Stage) and s.expand is None and s.epochs >= 1 for s in stages)


@check("handovers")
def a_pure_function_of_the_run(record: Record) -> None:
    """Done twice from the same state, it gives the same network, data and stages."""
    (one, stages), (other, again) = _apply(record), _apply(record)
    assert stages == again
    mine, theirs = one.network.state_dict(), other.network.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in mine.items())
    assert torch.equal(one.data.index, other.data.index)
    assert torch.equal(one.data.labels, other.data.labels)


@check("handovers")
def changes_the_run(record: Record) -> None:
    """Network, data, teachers, stages, or what the user is told, are not as before."""
    before = _between_stages(record)
    state, stages = _apply(record)
    same = list(state.network.state_dict()) == list(before.network.state_dict()) and all(
        torch.equal(a, b)
        for a, b in zip(
            state.network.state_dict().values(), before.network.state_dict().values(), strict=True
        )
    )
    data = len(state.data) == len(before.data)
    teachers = state.teachers == before.teachers
    told = state.notes != before.notes
    assert told or not (same and data and teachers and stages == (before.stages[1],))


@check("datasets", when=lambda r: "files" not in r.needs)
def loads_alike_twice(record: Record) -> None:
    """The same rows, names and fingerprint each time; a class for every label."""
    one, other = load(record.name), load(record.name)
    assert one.fingerprint == other.fingerprint
    assert one.class_names == other.class_names
    assert torch.equal(one.train.labels, other.train.labels)
    assert one.modality in record.modalities
    assert one.test is not None
    assert int(one.train.labels.max()) < len(one.class_names)
    assert not set(one.train.ids) & set(one.test.ids)


@check("datasets", when=lambda r: "files" in r.needs)
def says_which_files_are_missing(record: Record) -> None:
    """Without its files it says which, and where they go; nothing is downloaded."""
    with tempfile.TemporaryDirectory() as empty:
        raises_two_lines(DataError, lambda: load(record.name, data_root=empty))


@check("datasets")
def default_parts_exist(record: Record) -> None:
    """Parts that a built-in set asks for are registered."""
    if "files" not in record.needs:
        data = load(record.name)
        if data.default_augment is not None:
            instantiate("augments", data.default_augment)
        assert registry.get("backbones", data.default_backbone)
        assert record.name == data.name
