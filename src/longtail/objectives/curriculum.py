"""Dynamic curriculum learning: batches led from natural to even, triplets with easy anchors."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.checks import is_finite
from longtail.errors import ConfigError, UnknownNameError
from longtail.functional.curriculum import (
    SCHEDULES,
    curriculum_exponent,
    easy_anchor_triplets,
    metric_share,
    selection_weights,
)
from longtail.objectives.base import Objective, supervised_terms
from longtail.objectives.rows import unmixed
from longtail.types import Batch, Context, Terms

__all__ = ["DynamicCurriculum"]


class DynamicCurriculum(Objective):
    """``(1/B) sum_i w_i l_i + f(t) L_triplet``: first features, then even classes.

    ``w`` brings the rows at hand to ``D_c ~ n_c ** g(t)``: see
    :func:`~longtail.functional.curriculum.selection_weights`; ``L_triplet`` is
    :func:`~longtail.functional.curriculum.easy_anchor_triplets` over the minority classes, the
    rarest ones that together hold at most half of the training rows; ``f`` is
    :func:`~longtail.functional.curriculum.metric_share`. ``t = e / (T - 1)`` at epoch ``e``, as
    in the sampler ``curriculum``, whose schedule should be the same.

    Args:
        schedule: ``linear``, ``convex``, ``concave`` or ``composite``.
        left: what a concave schedule has left of the exponent at the end.
        margin: of the triplets.
        easiest: rows a class and a role in the triplets.
        until: fraction of the stage up to which the triplets lead.
        floor: their weight afterwards.
        select: weigh the batch; without, the sampler alone follows the schedule.

    Shapes: logits ``(B, C)``, features ``(B, D)``.

    Reference: after Wang et al., ICCV 2019.
    """

    draws = 1
    counts: Tensor
    minority: Tensor

    def __init__(
        self,
        schedule: str = "composite",
        *,
        left: float = 0.01,
        margin: float = 0.2,
        easiest: int = 3,
        until: float = 0.3,
        floor: float = 0.01,
        select: bool = True,
    ) -> None:
        super().__init__()
        if schedule not in SCHEDULES:
            raise UnknownNameError("schedule of a curriculum", schedule, SCHEDULES)
        known = is_finite(left, margin, easiest, until, floor)
        if not known or not (
            0 < left < 1 and margin >= 0 and easiest >= 1 and 0 <= until <= 1 and floor >= 0
        ):
            raise ConfigError(
                "a curriculum needs 0 < left < 1, margin >= 0, easiest >= 1, 0 <= until <= 1 and "
                f"floor >= 0, not left={left} margin={margin} easiest={easiest} until={until} "
                f"floor={floor}",
                "try left=0.01, margin=0.2, easiest=3, until=0.3, floor=0.01",
            )
        self.schedule, self.left, self.margin, self.easiest = schedule, left, margin, easiest
        self.until, self.floor, self.select = until, floor, select

    def setup(self, ctx: Context) -> None:
        device = ctx.progress.epoch.device
        self.register_buffer("counts", ctx.stats.counts.float().to(device))
        self.register_buffer("minority", minority_classes(ctx.stats.counts).to(device))

    def terms(self, ctx: Context, batch: Batch) -> Terms:
        batch = unmixed(batch, "a curriculum")
        outputs = ctx.model(batch.views[0])
        last = max(1, ctx.progress.epochs - 1)
        done = (
            ctx.progress.epoch.float() / last
            if ctx.progress.epochs > 1
            else self.counts.new_ones(())
        )
        rows = batch
        if self.select:
            assert batch.draws is not None
            exponent = curriculum_exponent(done, self.schedule, left=self.left)
            weight = selection_weights(batch.target, self.counts, exponent, batch.draws[:, 0])
            given = batch.sample_weight
            rows = batch.with_(sample_weight=weight if given is None else weight * given)
        terms = supervised_terms(ctx, outputs, rows)
        triplets = easy_anchor_triplets(
            outputs.features.float(),
            outputs.logits.float().softmax(1),
            batch.target,
            self.minority,
            margin=self.margin,
            easiest=self.easiest,
        )
        share = metric_share(done, until=self.until, floor=self.floor)
        parts = {"selected": terms.total.detach(), "triplets": triplets.detach()}
        total = terms.total + share * triplets
        return Terms(total, terms.weight, parts, (), terms.logits, terms.target)


def minority_classes(counts: Tensor) -> Tensor:
    """``(C,)`` bool: the rarest classes that together hold at most half of the rows.

    Classes of equal count are taken together or not at all.
    """
    n = counts.double()
    held = torch.stack([n[n <= v].sum() for v in n])
    return (held <= n.sum() / 2) & (n > 0)
