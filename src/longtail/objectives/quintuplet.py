"""Quintuplet sampling: batches that hold every anchor's quintuplet, and its three hinges."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.checks import is_finite, is_whole
from longtail.errors import ConfigError
from longtail.functional.quintuplet import quintuplet_loss, quintuplet_table
from longtail.functional.random import permutation
from longtail.objectives.base import Objective, Stream, row_mean, supervised_terms
from longtail.objectives.rows import unmixed
from longtail.types import Batch, Context, Outputs, Terms

__all__ = ["Quintuplet"]

ROLES = ("near", "other", "far", "rival")


class Partners:
    """The stream of one role: row by row the partner of what the stage's own sampler draws."""

    epochs: int | None = None

    def __init__(self, anchors: Any, partner: Tensor) -> None:
        self.anchors, self.partner = anchors, partner

    def bind_labels(self, labels: Any, num_classes: int, seed: int) -> Partners:
        """Nothing to take: the anchors' sampler has the labels."""
        return self

    def draw(self, epoch: int) -> Tensor:
        """``(N,)`` partners of the anchors of an epoch."""
        return self.partner[self.anchors.draw(epoch)]


def _stream(role: int, stats: Any, objective: Any) -> Stream:
    table = objective.partners.cpu()
    return Stream(functools.partial(Partners, partner=table[:, role].clone()))


class Quintuplet(Objective):
    """Cross-entropy of the anchors plus the quintuplet loss of their features.

    ``L = l(z, y) + share sum of three hinges``: see
    :func:`~longtail.functional.quintuplet.quintuplet_hinges`. Every ``every`` epochs the rows of
    each class are clustered by k-means of their unit-length features, as the network sees them
    then, into ``round(n_c / size)`` clusters, and every row is given its four partners. A step
    sees its ``B`` anchors, drawn by the stage's sampler, and the four partners of each.

    Args:
        size: rows a cluster; ``None`` is the count of the rarest class, and 10 at least.
        margins: ``g1, g2, g3``.
        share: weight of the quintuplet loss.
        every: epochs between two clusterings.
        pool: rows a class among which partners are looked for (beside ``p+``).

    Shapes: five batches of ``B`` rows; features ``(B, D)``.

    Reference: after Huang et al., CVPR 2016.
    """

    streams = {  # noqa: RUF012
        role: functools.partial(_stream, number) for number, role in enumerate(ROLES)
    }
    partners: Tensor
    split: Tensor

    def __init__(
        self,
        size: int | None = None,
        *,
        margins: tuple[float, ...] = (0.1, 0.1, 0.2),
        share: float = 1.0,
        every: int = 5,
        pool: int = 200,
    ) -> None:
        super().__init__()
        triple = isinstance(margins, Sequence) and len(margins) == 3 and is_finite(*margins)
        if not triple or not all(g > 0 for g in margins):
            raise ConfigError(
                f"margins must be three positive numbers, not {margins}", "try (0.1, 0.1, 0.2)"
            )
        known = is_finite(share) and is_whole(1 if size is None else size, every, pool)
        if not known or (size is not None and size < 1) or share < 0 or every < 1 or pool < 2:
            raise ConfigError(
                "quintuplets need size >= 1, share >= 0, every >= 1 and pool >= 2, not "
                f"size={size} share={share} every={every} pool={pool}",
                "leave them at their defaults",
            )
        self.size, self.margins, self.share = size, margins, share
        self.every, self.pool = every, pool

    def setup(self, ctx: Context) -> None:
        n, device = len(ctx.data), ctx.progress.epoch.device
        self.register_buffer("partners", torch.arange(n, device=device)[:, None].repeat(1, 4))
        self.register_buffer("split", torch.zeros(n, dtype=torch.bool, device=device))

    def refresh(self, ctx: Context) -> None:
        if int(ctx.progress.epoch) % self.every:
            return
        assert ctx.collect is not None
        features = F.normalize(ctx.collect(ctx.data, "features").float(), dim=1)
        made = self._quintuplets(ctx, features) if ctx.ranks.first else None
        table, split = ctx.ranks.broadcast(made)
        self.partners.copy_(table)
        self.split.copy_(split)

    def terms(self, ctx: Context, batch: Batch) -> Terms:
        batch = unmixed(batch, "a quintuplet")
        views = [batch.views[0], *(batch.extra[role].views[0] for role in ROLES)]
        outputs = ctx.model(torch.cat(views))
        anchor, *partners = outputs.features.float().chunk(5)
        own = Outputs(outputs.logits[: len(batch)], outputs.features[: len(batch)])
        terms = supervised_terms(ctx, own, batch)
        losses = quintuplet_loss(
            anchor, partners, split=self.split[batch.index], margins=self.margins
        )
        hinges = row_mean(losses, batch)
        parts = {"classes": terms.total.detach(), "quintuplets": hinges.detach()}
        total = terms.total + self.share * hinges
        return Terms(total, terms.weight, parts, (), terms.logits, terms.target)

    def _quintuplets(self, ctx: Context, features: Tensor) -> tuple[Tensor, Tensor]:
        """Partners of all rows and which rows are of a split class, from unit-length features."""
        labels = ctx.data.labels.cpu()
        least = int(ctx.stats.raw[ctx.stats.raw > 0].min())
        size = max(10, least) if self.size is None else self.size
        clusters, candidates, taken = torch.zeros_like(labels), [], 0
        for c in torch.unique(labels).tolist():
            rows = torch.nonzero(labels == c).flatten()
            own = clustered(features[rows], max(1, round(len(rows) / size)), ctx.seed)
            clusters[rows] = taken + own
            taken += int(own.max()) + 1
            key = (ctx.seed, "quintuplets", int(ctx.progress.epoch), c)
            chosen = torch.from_numpy(permutation(*key, n=len(rows)))[: self.pool]
            candidates.append(rows[chosen])
        return quintuplet_table(features, labels, clusters, torch.cat(candidates).sort().values)


def clustered(features: Tensor, count: int, seed: int) -> Tensor:
    """``(n,)`` cluster ids ``0 ..`` of k-means; fewer than ``count`` where rows coincide."""
    if count == 1:
        return torch.zeros(len(features), dtype=torch.int64)
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    fitted = KMeans(count, n_init=1, max_iter=50, random_state=seed % (1 << 31))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = fitted.fit_predict(features.double().numpy())
    return torch.from_numpy(np.unique(found, return_inverse=True)[1].astype(np.int64))
