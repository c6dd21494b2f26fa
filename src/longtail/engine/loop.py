"""The loop: one page, the same for every method."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from longtail.engine.feed import Feed, Plan
from longtail.engine.optim import set_modes
from longtail.errors import NonFiniteLossError
from longtail.objectives.base import Objective
from longtail.types import Context, Terms

__all__ = ["BuiltStage", "Observer", "Tally", "run_stage"]


class Observer:
    """Listens to a stage and never steers it."""

    def on_step(self, stage: BuiltStage, epoch: int, step: int, tally: Tally) -> None:
        """After every optimiser step."""

    def on_epoch(self, stage: BuiltStage, epoch: int, tally: Tally) -> None:
        """After every epoch."""


@dataclass
class Tally:
    """Running sums of an epoch, on the device: loss, its parts, correct rows a class."""

    losses: Tensor
    correct: Tensor
    seen: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)
    done: int = 0
    lr: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    @torch.no_grad()
    def add(self, step: int, terms: Terms) -> None:
        """Count one step."""
        self.done += 1
        self.losses[step] = terms.total.detach()
        for name, value in terms.parts.items():
            self.parts[name] = self.parts.get(name, 0) + value.detach()
        if terms.logits is not None and terms.target is not None:
            target = terms.target
            hit = (terms.logits.argmax(-1) == target).to(self.correct.dtype)
            self.correct.index_add_(0, target, hit)
            self.seen.index_add_(0, target, torch.ones_like(hit))

    def mean_loss(self) -> float:
        """Mean loss of the steps done."""
        return float(self.losses[~self.losses.isinf()].mean()) if self.done else float("nan")

    def balanced_accuracy(self) -> float | None:
        """Mean recall over the classes drawn, on the rows as trained."""
        if not bool((self.seen > 0).any()):
            return None
        return float((self.correct / self.seen)[self.seen > 0].mean())


@dataclass
class BuiltStage:
    """A stage ready to run: live parts, bound and placed."""

    name: str
    number: int
    epochs: int
    feed: Feed
    objective: Objective
    ctx: Context
    rate: Callable[[float], float]
    bn: str
    average: Any = None
    scaler: Any = None

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return self.feed.steps

    def plan(self, epoch: int) -> Plan:
        """The epoch's plan, its extra streams asked of the objective again."""
        return self.feed.plan(epoch)


def run_stage(
    stage: BuiltStage,
    observers: Sequence[Observer],
    *,
    epoch: int = 0,
    step: int = 0,
    before_epoch: Callable[[BuiltStage], None] | None = None,
) -> None:
    """Train a stage from an epoch and step on.

    Starting at a step other than 0 means that the epoch's refresh has been done and is part of
    the restored state.
    """
    ctx, progress = stage.ctx, stage.ctx.progress
    for now in range(epoch, stage.epochs):
        progress.set(now, step)
        if step == 0:
            stage.objective.refresh(ctx)
        if before_epoch is not None:
            before_epoch(stage)
        set_modes(ctx.model, stage.bn)
        plan = stage.plan(now)
        tally = _tally(stage, plan)
        for at, batch in enumerate(stage.feed.batches(plan, step), step):
            progress.set(now, at)
            tally.lr = _set_rate(stage, now, at)
            terms = stage.objective.step(ctx, batch)
            tally.add(at, terms)
            if not bool(torch.isfinite(terms.total.detach())):
                _refuse(stage, now, at, plan, terms)
            for observer in observers:
                observer.on_step(stage, now, at, tally)
        for observer in observers:
            observer.on_epoch(stage, now, tally)
        step = 0


def _tally(stage: BuiltStage, plan: Plan) -> Tally:
    device, classes = stage.feed.device, stage.ctx.num_classes
    losses = torch.full((plan.steps,), float("inf"), device=device)
    return Tally(losses, torch.zeros(classes, device=device), torch.zeros(classes, device=device))


def _set_rate(stage: BuiltStage, epoch: int, step: int) -> float:
    done = (epoch * stage.steps + step) / (stage.epochs * stage.steps)
    factor = stage.rate(done)
    for optimizer in stage.ctx.optimizers.values():
        for group in optimizer.param_groups:
            if "base" in group:
                group["lr"] = group["base"] * factor
    main = stage.ctx.optimizers["model"].param_groups[0]
    return float(main["lr"])


def _refuse(stage: BuiltStage, epoch: int, step: int, plan: Plan, terms: Terms) -> None:
    a, b = plan.span(step)
    rows = plan.orders[""][a:b][:8].tolist()
    parts = ", ".join(f"{k} {float(v):.4g}" for k, v in terms.parts.items()) or "one term"
    raise NonFiniteLossError(
        f"the loss became {float(terms.total):.4g} in stage {stage.name!r}, epoch {epoch + 1}, "
        f"step {step + 1} ({parts}; training rows {rows} ...)",
        "try a smaller --lr or --set clip=1.0; the last good checkpoint is kept, see --resume",
    )
