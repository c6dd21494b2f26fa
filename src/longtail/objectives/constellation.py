"""Geometric structure transfer: rows as they come teach the shape that all classes share."""

from __future__ import annotations

import torch

from longtail.checks import is_finite
from longtail.errors import ConfigError
from longtail.models.heads_constellation import ConstellationHead
from longtail.objectives.base import Objective, Stream, supervised_terms
from longtail.registry import part
from longtail.types import Batch, Context, Outputs, Terms

__all__ = ["Constellation"]


class Constellation(Objective):
    """``L = l(z^r(h), y) + strength l(z^c(h'), y')`` over rows and over balanced rows.

    ``z^r`` are the logits of the centres that teach the displacements, ``z^c`` those of the
    centres that decide at test and leave the displacements alone. Both batches pass the backbone
    together. A stage that does not train ``head.displacements`` is the pretraining without them.

    Args:
        strength: weight of the balanced rows.

    Shapes: two batches of ``B`` rows, ``z`` ``(B, C)``.

    Reference: Liu et al., ICCV 2021.
    """

    streams = {"balanced": lambda stats, objective: Stream(part("class_aware", k=4))}  # noqa: RUF012

    def __init__(self, strength: float = 0.5) -> None:
        super().__init__()
        if not is_finite(strength) or strength < 0:
            raise ConfigError(
                f"strength must be finite and not negative, not {strength}", "try strength=0.5"
            )
        self.strength = strength

    def setup(self, ctx: Context) -> None:
        if not isinstance(ctx.model.head, ConstellationHead):
            raise ConfigError(
                f"two sets of centres need a constellation head, not {type(ctx.model.head).__name__}",
                "set head=constellation(displacements=4)",
            )

    def terms(self, ctx: Context, batch: Batch) -> Terms:
        balanced, head = batch.extra["balanced"], ctx.model.head
        both = torch.cat([batch.views[0], balanced.views[0]])
        out = ctx.model(both, features_only=True)
        rows, even = out.features.split([len(batch), len(balanced)])
        first = supervised_terms(ctx, Outputs(head.random_logits(rows), rows), batch)
        second = supervised_terms(ctx, Outputs(head(even), even), balanced)
        total = first.total + self.strength * second.total
        parts = {"random": first.total.detach(), "balanced": second.total.detach()}
        return Terms(total, first.weight, parts, (), first.logits, batch.target)
