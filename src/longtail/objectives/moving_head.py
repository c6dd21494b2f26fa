"""The stage's loss, and a head that keeps moving statistics of what it is fed."""

from __future__ import annotations

import functools

from torch import Tensor

from longtail.errors import ConfigError
from longtail.models import Head
from longtail.objectives.base import Objective, supervised_terms
from longtail.types import Batch, Context, Terms

__all__ = ["MovingHead"]


class MovingHead(Objective):
    """``mean_i l(z_i, y_i)`` and, after each successful step, one step of the head's statistics.

    What the head watches (sums of features) is added up over micro-batches and ranks first, so
    that the statistics are those of the whole batch however it was cut.

    Args:
        by_rate: slow the statistics down with the learning rate: the step they take is
            ``min(50 lr, 1)`` of the full one, as published for large sets.

    Shapes: features ``(B, D)``.

    Reference: Tang et al., NeurIPS 2020.
    """

    def __init__(self, by_rate: bool = False) -> None:
        super().__init__()
        self.by_rate = by_rate
        self._seen: dict[str, Tensor] = {}

    def setup(self, ctx: Context) -> None:
        head = ctx.model.head
        if not isinstance(head, Head) or not head.moving:
            raise ConfigError(
                f"moving_head needs one head with moving statistics, not {type(head).__name__}",
                "use a head such as tde, or objective=supervised",
            )
        self._fold = functools.partial(self._follow, ctx)

    def _follow(self, ctx: Context) -> None:
        found = {name: self._seen[name] for name in sorted(self._seen)}
        self._seen = {}
        ctx.ranks.sum_(list(found.values()))
        rate = float(ctx.optimizers["model"].param_groups[0]["lr"])
        ctx.model.head.fold(found, min(50 * rate, 1.0) if self.by_rate else 1.0)

    def terms(self, ctx: Context, batch: Batch) -> Terms:
        outputs = ctx.model(batch.views[0])
        terms = supervised_terms(ctx, outputs, batch)
        for name, value in ctx.model.head.watch(outputs.features.detach(), batch.targets).items():
            self._seen[name] = self._seen[name] + value if name in self._seen else value
        terms.commit = (*terms.commit, self._fold)
        return terms

    def step(self, ctx: Context, batch: Batch) -> Terms:
        self._seen = {}  # what a step that was not taken has seen is forgotten
        result: Terms = ctx.update(ctx, self.terms, batch)
        return result
