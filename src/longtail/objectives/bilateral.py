"""Bilateral-branch learning: two streams, two branches, one cumulative schedule."""

from __future__ import annotations

import torch

from longtail.functional.experts import bbn_alpha
from longtail.objectives.base import Objective, Stream
from longtail.registry import part
from longtail.types import Batch, Context, Terms

__all__ = ["Bilateral"]


class Bilateral(Objective):
    """Uniform rows through one branch, reversed-frequency rows through the other.

    With ``t`` the 0-based epoch of ``T``: ``a = 1 - (t / T)^2``,
    ``z = W [2 a f_c ; 2 (1 - a) f_r] + b`` and ``L = a l(z, y_c) + (1 - a) l(z, y_r)``.

    Shapes: two batches of ``B`` rows, ``z`` ``(B, C)``.

    Reference: Zhou et al., CVPR 2020.
    """

    streams = {"reverse": lambda stats, objective: Stream(part("reversed"))}  # noqa: RUF012

    def terms(self, ctx: Context, batch: Batch) -> Terms:
        other = batch.extra["reverse"]
        alpha = bbn_alpha(ctx.progress.epoch.float(), ctx.progress.epochs)
        outputs = ctx.model.mix(batch.views[0], other.views[0], alpha)
        first, rows = ctx.loss.sums(outputs.logits, batch.target, sample_weight=batch.sample_weight)
        second, others = ctx.loss.sums(
            outputs.logits, other.target, sample_weight=other.sample_weight
        )
        uniform, reverse = first / rows, second / others
        total = alpha * uniform + (1 - alpha) * reverse
        parts = {"uniform": uniform.detach(), "reverse": reverse.detach()}
        weight = torch.as_tensor(float(len(batch)), device=total.device)
        return Terms(total, weight, parts, (), outputs.logits.detach(), batch.target)
