"""The loop: one page, the same for every method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from longtail.engine.feed import Feed, Plan
from longtail.engine.optim import set_modes
from longtail.engine.tally import Tally
from longtail.errors import NonFiniteLossError
from longtail.objectives.base import Objective
from longtail.types import Context, Terms

__all__ = ["BuiltStage", "Observer", "run_stage"]


class Observer:
    """Listens to a stage and never steers it."""

    def on_step(self, stage: BuiltStage, epoch: int, step: int, tally: Tally) -> None:
        """After every optimiser step."""

    def on_epoch(self, stage: BuiltStage, epoch: int, tally: Tally) -> None:
        """After every epoch."""


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


def run_stage(
    stage: BuiltStage,
    observers: Sequence[Observer],
    *,
    epoch: int = 0,
    step: int = 0,
    tally: Tally | None = None,
) -> None:
    """Train a stage from an epoch and step on.

    Starting at a step other than 0 means that the epoch's refresh has been done and is part of
    the restored state; ``tally`` is what that epoch had added up to.
    """
    ctx, progress = stage.ctx, stage.ctx.progress
    for now in range(epoch, stage.epochs):
        progress.set(now, step)
        if step == 0:
            ctx.loss.refresh(ctx)
            stage.objective.refresh(ctx)
        set_modes(ctx.model, stage.bn)
        plan = stage.feed.plan(now)
        tally = tally or _tally(stage, plan)
        for at, batch in enumerate(stage.feed.batches(plan, step), step):
            progress.set(now, at)
            tally.lr = _set_rate(stage, now, at)
            terms = stage.objective.step(ctx, batch)
            tally.add(at, terms)
            _check(stage, now, at, plan, tally, terms)
            for observer in observers:
                observer.on_step(stage, now, at, tally)
        for observer in observers:
            observer.on_epoch(stage, now, tally)
        step, tally = 0, None


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


def _check(
    stage: BuiltStage, epoch: int, step: int, plan: Plan, tally: Tally, terms: Terms
) -> None:
    """Refuse a loss that is not finite; an accelerator is asked every 50 steps only."""
    due = stage.feed.device.type == "cpu" or step % 50 == 49 or step == plan.steps - 1
    if not due or not tally.broken(step):
        return
    bad = ~torch.isfinite(tally.losses[: step + 1])
    bad[: step + 1 - tally.done] = False
    step = int(torch.nonzero(bad)[0])
    a, b = plan.span(step)
    rows = plan.orders[""][a:b][:8].tolist()
    parts = ", ".join(f"{k} {float(v):.4g}" for k, v in terms.parts.items()) or "one term"
    raise NonFiniteLossError(
        f"the loss became {float(tally.losses[step])} in stage {stage.name!r}, epoch {epoch + 1}, "
        f"step {step + 1} ({parts}; training rows {rows} ...)",
        "try a smaller --lr or --set clip=1.0 in another --output; the last good checkpoint is kept",
    )
