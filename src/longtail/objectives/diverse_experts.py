"""Skill-diverse experts: each is trained for another test prior."""

from __future__ import annotations

import torch

from longtail.checks import is_finite
from longtail.errors import ConfigError
from longtail.functional.experts import diverse_adjustments
from longtail.objectives.base import Objective, supervised_terms
from longtail.types import Batch, Context, Terms

__all__ = ["DiverseExperts"]

NAMES = ("forward", "uniform", "backward")


class DiverseExperts(Objective):
    """``L = l(Z_1) + l(Z_2 + log pi) + l(Z_3 + log pi - tau log pi_inv)``.

    ``pi_inv`` gives each class the prior of the class at the mirrored rank, so the experts learn
    the forward, the uniform and the backward distribution. The test logits are the mean of the
    raw expert logits.

    Args:
        tau: strength of the backward expert (2 for CIFAR-100-LT and ImageNet-LT, 1 for
            Places-LT and iNaturalist).

    Shapes: expert logits ``(3, B, C)``.

    Reference: Zhang et al., NeurIPS 2022.
    """

    def __init__(self, tau: float = 2.0) -> None:
        super().__init__()
        if not is_finite(tau) or tau < 0:
            raise ConfigError(f"tau must be finite and not negative, got {tau}", "try tau=2.0")
        self.tau = tau
        self.adjust: torch.Tensor

    def setup(self, ctx: Context) -> None:
        table = diverse_adjustments(ctx.stats.counts, tau=self.tau)
        self.register_buffer("adjust", table.float())

    def terms(self, ctx: Context, batch: Batch) -> Terms:
        outputs = ctx.model(batch.views[0])
        experts = outputs.expert_logits
        if experts is None or len(experts) != len(self.adjust):
            raise ConfigError(
                f"diverse experts need a network of {len(self.adjust)} experts",
                f"set network=experts(count={len(self.adjust)})",
            )
        parts, totals = {}, []
        weight = torch.as_tensor(float(len(batch)), device=experts.device)
        for expert, bias, name in zip(experts, self.adjust, NAMES, strict=True):
            adjusted = outputs.with_logits(expert + bias)
            terms = supervised_terms(ctx, adjusted, batch)
            totals.append(terms.total)
            parts[name], weight = terms.total.detach(), terms.weight
        total = torch.stack(totals).sum()
        return Terms(total, weight, parts, (), outputs.logits.detach(), batch.target)
