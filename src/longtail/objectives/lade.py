"""Label distribution disentangling."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.checks import is_finite
from longtail.errors import ConfigError, UnknownNameError
from longtail.functional.lade import IMPORTANCE, LadeSums, lade_sums
from longtail.objectives.base import Objective, supervised_terms
from longtail.types import Batch, Context, Terms

__all__ = ["Lade"]


class Lade(Objective):
    """``L = l(z, y) + alpha L_LADER``, the stage's loss and a regulariser of the whole batch.

    ``L_LADER = -sum_c prior_c (T_c - penalty S_c^2)``, ``T_c = mean_{y_i=c} z_ic - S_c``,
    ``S_c = log mean_i (1 / C) / prior(y_i) exp z_ic``
    (:func:`longtail.functional.lade_regulariser`). The batch is that of all ranks: they exchange
    ``C`` numbers a step and get the value and the gradient that one rank gets. Under
    ``--accumulate`` it is the micro-batch of all ranks.

    Args:
        alpha: weight of the regulariser (0.1 for CIFAR-100-LT, 0.05 for ImageNet-LT).
        penalty: weight of the square (0.01 for CIFAR-100-LT, 0.5 for ImageNet-LT, 0.1 for
            Places-LT and iNaturalist).
        importance: ``sample``, the paper's, or ``class``, the published code's.

    Shapes: logits ``(B, C)``.

    Raises:
        ConfigError: a weight that is negative, or an unknown importance.

    Reference: Hong et al., CVPR 2021.
    """

    def __init__(
        self, alpha: float = 0.1, penalty: float = 0.01, importance: str = "sample"
    ) -> None:
        super().__init__()
        if not is_finite(alpha, penalty) or alpha < 0 or penalty < 0:
            raise ConfigError(
                f"alpha and penalty must be finite and not negative, not {alpha} and {penalty}",
                "try alpha=0.1 and penalty=0.01",
            )
        if importance not in IMPORTANCE:
            raise UnknownNameError("importance", importance, IMPORTANCE)
        self.alpha, self.penalty, self.importance = alpha, penalty, importance
        self.log_prior: Tensor

    def setup(self, ctx: Context) -> None:
        self.register_buffer("log_prior", ctx.stats.log_prior.float())

    def terms(self, ctx: Context, batch: Batch) -> Terms:
        outputs = ctx.model(batch.views[0])
        terms = supervised_terms(ctx, outputs, batch)
        logits = outputs.logits.float()
        sums = lade_sums(
            logits,
            batch.target if not batch.mixed else _soft(batch, logits.shape[1]),
            self.log_prior,
            importance=self.importance,
            sample_weight=batch.sample_weight,
        )
        value = joined(ctx.ranks, sums).value(self.log_prior, self.penalty)
        mine = self.alpha * value * _share(ctx.ranks, terms.weight)
        total = terms.total + (mine - mine.detach()) + self.alpha * value.detach()
        parts = {"prior_ce": terms.total.detach(), "lader": value.detach()}
        return Terms(total, terms.weight, parts, (), terms.logits, terms.target)


def joined(ranks: Any, sums: LadeSums) -> LadeSums:
    """The sums of all ranks; the gradient goes to this rank's rows."""
    if ranks.world == 1:
        return sums
    table = ranks.gather_rows(sums.density.detach()[None])
    own = torch.arange(len(table), device=table.device)[:, None] == ranks.rank
    density = torch.where(own, sums.density[None], table).logsumexp(0)
    local = (sums.linear, sums.labels, sums.rows)
    everywhere = [t.detach().clone() for t in local]
    ranks.sum_(everywhere)
    linear = sums.linear + (everywhere[0] - sums.linear.detach())
    return LadeSums(density, linear, everywhere[1], everywhere[2])


def _share(ranks: Any, weight: Tensor) -> Tensor:
    """What undoes the engine's mean over ranks: the regulariser is one number of all rows."""
    total = weight.detach().clone()
    ranks.sum_([total])
    return total / weight.clamp_min(1e-12)


def _soft(batch: Batch, classes: int) -> Tensor:
    """``(B, C)`` of mixed targets."""
    parts = [w[:, None] * F.one_hot(t, classes) for t, w in batch.mixed]
    return torch.stack(parts).sum(0)
