"""The one seam for methods that no field can express: four methods, each with a default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from longtail.registry import PartSpec, part
from longtail.types import Batch, ClassStats, Context, Outputs, Terms

__all__ = ["Objective", "Stream", "Supervised", "row_mean", "supervised_terms"]


@dataclass(frozen=True)
class Stream:
    """An extra named batch a step: which sampler draws it, and from which data.

    Attributes:
        sampler: spec of the sampler, or a sampler (what depends on a refresh), or a function
            that makes one of the stage's own sampler (a stream that goes beside it row by row).
        source: ``train`` or ``meta``.
    """

    sampler: Any = part("instance")
    source: str = "train"


class Objective(nn.Module):
    """Turns a batch into a loss, or owns the step.

    Attributes:
        streams: name -> ``factory(stats, objective)`` of a :class:`Stream`, asked at every
            epoch, after ``refresh``; the name ``""`` replaces the stage's own sampler.
        private: attribute name of an inner network -> spec of its optimiser; built, saved and
            resumed by the engine.
        draws: uniform random numbers a row that ``terms`` reads from ``batch.draws``.
        step_draws: uniform random numbers a step, in ``batch.step_draws`` (host memory).
        second_order: True where the step differentiates through a step.
        owns_loss: True where ``terms`` asks no ``ctx.loss``: the stage must leave it plain.
    """

    streams: ClassVar[Mapping[str, Callable[[ClassStats, Objective], Stream]]] = {}
    private: ClassVar[Mapping[str, PartSpec]] = {}
    draws: int = 0
    step_draws: int = 0
    second_order: ClassVar[bool] = False
    owns_loss: ClassVar[bool] = False

    def setup(self, ctx: Context) -> None:
        """Once a stage: make banks, twins and inner networks from what the context shows."""

    def refresh(self, ctx: Context) -> None:
        """Once an epoch; what it makes is state of this module."""

    def terms(self, ctx: Context, batch: Batch) -> Terms:
        """What one batch asks of the model; pure but for ``Terms.commit``."""
        return supervised_terms(ctx, ctx.model(batch.views[0]), batch)

    def step(self, ctx: Context, batch: Batch) -> Terms:
        """One step; overridden only where one backward is not the update."""
        result: Terms = ctx.update(ctx, self.terms, batch)
        return result


class Supervised(Objective):
    """The stage's loss on the first view: ``mean_i sum_t w_t l(z_i, y_t)``."""


def row_mean(losses: Tensor, batch: Batch) -> Tensor:
    """Mean of ``(B,)`` losses, each times its sample weight."""
    weight = batch.sample_weight
    return (losses if weight is None else losses * weight).sum() / len(batch)


def supervised_terms(ctx: Context, outputs: Outputs, batch: Batch) -> Terms:
    """The stage's loss of some outputs, mixed targets and row weights included.

    A mixed row contributes ``sum_t w_t l(z, y_t)``; the denominator is the loss's own (rows, or
    the summed class weights of what was drawn).
    """
    logits = outputs.logits
    if outputs.target is not None:
        batch = batch.with_(target=outputs.target, mixed=[], sample_weight=None)
    ctx.loss.key(batch.noise)
    top, weight = ctx.loss.mixed_sums(
        logits, batch.targets, features=outputs.features, sample_weight=batch.sample_weight
    )
    total = top / weight.clamp_min(1e-12)
    return Terms(total, weight.detach(), {}, (), logits.detach(), batch.target)
