"""Checks of objectives, each on a tiny stage of a recipe that uses it."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import torch
from torch import Tensor

from longtail import registry
from longtail.engine.loop import BuiltStage
from longtail.engine.stage import Recipe, Stage, make_recipe
from longtail.engine.train import restore_stage, stage_state
from longtail.objectives.base import Objective
from longtail.registry import Record, part
from longtail.testing.contract import check
from longtail.testing.tools import close
from longtail.testing.toy import first_batch, toy_stage
from longtail.types import Batch, Terms

__all__: list[str] = []

#: running statistics follow every forward pass of a twin in training mode, as the network's do
NORM = ("running_mean", "running_var", "num_batches_tracked")
#: what an objective may say beside its constructor
SEAM = {
    "setup", "refresh", "terms", "step", "streams", "private", "draws", "step_draws",
    "second_order", "owns_loss",
}  # fmt: skip


def _recipe(record: Record) -> Recipe:
    """The first recipe with a stage of this objective, all its stages four epochs long."""
    for known in registry.records("recipes"):
        made = make_recipe(known)
        for stage in made.stages:
            if stage.objective.name == record.name and stage.expand is None:
                return _with(made, stage)
    stage = Stage(4, objective=part(record.name, **dict(record.case)))
    return Recipe((stage,), projector=part("mlp_projector"), meta_per_class=2)


def _with(recipe: Recipe, stage: Stage) -> Recipe:
    alone = dataclasses.replace(stage, epochs=4, before=())
    return dataclasses.replace(recipe, stages=(alone,))


def _stage(record: Record) -> BuiltStage:
    built = toy_stage(_recipe(record))
    for group in built.ctx.optimizers["model"].param_groups:
        group["lr"] = group["base"] = 0.01
    return built


def _tensors(batch: Batch) -> list[Tensor]:
    found = [*batch.views, batch.target, batch.index]
    return found + [t for other in batch.extra.values() for t in _tensors(other)]


def _state(built: BuiltStage) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in stage_state(built, None).items()}


def _steps(built: BuiltStage, start: int, epoch: int = 0) -> list[Terms]:
    """The steps of an epoch from ``start`` on."""
    out = []
    for at, batch in enumerate(built.feed.batches(built.feed.plan(epoch), start), start):
        built.ctx.progress.set(epoch, at)
        out.append(built.objective.step(built.ctx, batch))
    return out


@check("objectives")
def one_step(record: Record) -> None:
    """A step gives a finite loss, changes parameters, and leaves the batch as it was."""
    built = _stage(record)
    batch = first_batch(built)
    kept = [t.clone() for t in _tensors(batch)]
    before = [p.detach().clone() for p in built.ctx.model.parameters()]
    built.objective.refresh(built.ctx)
    terms = built.objective.step(built.ctx, batch)
    assert torch.isfinite(terms.total)
    assert terms.total.ndim == 0
    assert float(terms.weight) > 0
    assert all(v.ndim == 0 and torch.isfinite(v) for v in terms.parts.values())
    after = list(built.ctx.model.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(torch.isfinite(p).all() for p in after)
    assert all(torch.equal(a, b) for a, b in zip(kept, _tensors(batch), strict=True))


@check("objectives")
def terms_are_pure(record: Record) -> None:
    """Asked twice, the same loss; what it keeps changes by ``commit`` only."""
    built = _stage(record)
    batch = first_batch(built)
    before = copy.deepcopy(built.objective.state_dict())
    one = built.objective.terms(built.ctx, batch)
    two = built.objective.terms(built.ctx, batch)
    close(two.total.detach(), one.total.detach(), tol=1e-5)
    for name, value in built.objective.state_dict().items():
        if not name.endswith(NORM):
            assert torch.equal(value, before[name]), f"{name} changed without a commit"
    assert one.logits is not None
    assert one.target is not None
    assert one.logits.shape == (len(one.target), built.ctx.num_classes)
    assert not one.logits.requires_grad


@check("objectives")
def gradient_reaches_the_network(record: Record) -> None:
    """The loss has a gradient in the head and in the backbone."""
    built = _stage(record)
    terms = built.objective.terms(built.ctx, first_batch(built))
    terms.total.backward()
    got = {n.split(".")[0] for n, p in built.ctx.model.named_parameters() if p.grad is not None}
    assert {"backbone", "head"} <= got, got


@check("objectives")
def overrides_only_the_seam(record: Record) -> None:
    """Setup, refresh, terms, step: no fifth hook, and nothing of the module protocol."""
    cls: Any = record.load()
    assert issubclass(cls, Objective)
    inherited = {n for n in vars(cls) if hasattr(Objective, n) and not n.startswith("__")}
    assert inherited <= SEAM, inherited - SEAM


@check("objectives")
def private_networks_are_private(record: Record) -> None:
    """They train by an optimiser of their own, and never by the model's."""
    built = _stage(record)
    main = _owned(built.ctx.optimizers["model"])
    for name in built.objective.private:
        inner = {id(p) for p in getattr(built.objective, name).parameters()}
        assert inner
        assert inner == _owned(built.ctx.optimizers[name])
        assert not inner & main
        before = [p.clone() for p in getattr(built.objective, name).parameters()]
        _steps(built, 0)
        after = getattr(built.objective, name).parameters()
        assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not main & {id(p) for p in built.objective.parameters()}


def _owned(optimizer: torch.optim.Optimizer) -> set[int]:
    return {id(p) for group in optimizer.param_groups for p in group["params"]}


@check("objectives")
def resume_is_bit_equal(record: Record) -> None:
    """Saved after a step and restored into a new stage, it ends with the same bits."""
    straight, halved, resumed = (_stage(record) for _ in range(3))
    for built in (straight, halved):
        built.ctx.progress.set(0, 0)
        built.objective.refresh(built.ctx)
    _steps(straight, 0)
    batch = next(iter(halved.feed.batches(halved.feed.plan(0))))
    halved.ctx.progress.set(0, 0)
    halved.objective.step(halved.ctx, batch)
    restore_stage(resumed, _state(halved))
    _steps(resumed, 1)
    for built in (straight, resumed):
        built.objective.refresh(built.ctx)
    _steps(straight, 0, epoch=1)
    _steps(resumed, 0, epoch=1)
    one, other = _state(straight), _state(resumed)
    assert one.keys() == other.keys()
    different = [k for k, v in one.items() if not torch.equal(v, other[k])]
    assert not different, different[:5]
