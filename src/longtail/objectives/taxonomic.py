"""Training along a taxonomy: every decision on the way right, and every tree cut from it too."""

from __future__ import annotations

import torch

from longtail.checks import is_finite
from longtail.errors import ConfigError
from longtail.functional.noise import spread
from longtail.functional.taxonomy import node_consistency, sampled_cut, sampled_tree_loss
from longtail.models.heads_taxonomic import TaxonomicHead
from longtail.objectives.base import Objective, row_mean
from longtail.types import Batch, Context, Terms

__all__ = ["Taxonomic"]


class Taxonomic(Objective):
    """``L = NCC + strength STS``: node-conditional consistency and stochastic tree sampling.

    NCC is the mean cross-entropy of the decisions on the path to the label. STS cuts each row's
    tree at random: an inner node apart from the root is kept with probability ``1 - drop``, and
    ``-z_v + log sum_{u in cut} e^{z_u}`` is the cross-entropy over the nodes where it ends, ``v``
    the one above the label and ``z_u`` the path sum of ``u``.

    Args:
        drop: probability that an inner node is left out.
        strength: weight of the sampled trees.

    Shapes: node scores ``(N, B)``, logits ``(B, C)``.

    Reference: Wu et al., ECCV 2020.
    """

    draws = 1
    owns_loss = True

    def __init__(self, drop: float = 0.1, strength: float = 1.0) -> None:
        super().__init__()
        if not is_finite(drop) or not 0 <= drop < 1:
            raise ConfigError(f"drop is a probability below 1, not {drop}", "try drop=0.1")
        if not is_finite(strength) or strength < 0:
            raise ConfigError(
                f"strength must be finite and not negative, not {strength}", "try strength=1.0"
            )
        self.drop, self.strength = drop, strength

    def setup(self, ctx: Context) -> None:
        if not isinstance(ctx.model.head, TaxonomicHead):
            raise ConfigError(
                f"training along a taxonomy needs a taxonomic head, not {type(ctx.model.head).__name__}",
                "set head=taxonomic()",
            )

    def terms(self, ctx: Context, batch: Batch) -> Terms:
        assert batch.draws is not None
        head: TaxonomicHead = ctx.model.head
        features = ctx.model(batch.views[0], features_only=True).features
        scores = head.node_scores(features)
        with torch.autocast(scores.device.type, enabled=False):
            log_p, sums = head.log_probabilities(scores), head.sums(scores)
            keep = spread(batch.draws[:, 0], head.taxonomy.inner).t() >= self.drop
            cut = sampled_cut(keep, head.parent, head.levels, head.num_classes)
            path, depth = head.path, head.depth
            ncc, sts = torch.zeros_like(sums[0]), torch.zeros_like(sums[0])
            for target, share in batch.targets:
                part = 1.0 if share is None else share
                ncc = ncc + part * node_consistency(log_p, target, path, depth)
                sts = sts + part * sampled_tree_loss(sums, cut, target, path)
        first, second = row_mean(ncc, batch), row_mean(sts, batch)
        parts = {"consistency": first.detach(), "sampled": second.detach()}
        logits = sums[: head.num_classes].t().detach()
        rows = torch.as_tensor(float(len(batch)), device=logits.device)
        return Terms(first + self.strength * second, rows, parts, (), logits, batch.target)
