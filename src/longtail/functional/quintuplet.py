"""Quintuplets: an anchor, three rows of its class by distance, and the nearest of another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["quintuplet_hinges", "quintuplet_loss", "quintuplet_table"]

_ROWS = 1024


def quintuplet_hinges(
    near: Tensor,
    other: Tensor,
    far: Tensor,
    rival: Tensor,
    *,
    split: Tensor,
    margins: Sequence[float] = (0.1, 0.1, 0.2),
) -> Tensor:
    """``[g1 + d(p+) - d(p-)]_+ + [g2 + d(p-) - d(p--)]_+ + [g3 + d(p--) - d(n)]_+``.

    The order asked for is ``d(p+) < d(p-) < d(p--) < d(n)``. A class that is one cluster has
    neither ``p-`` nor ``p--``; of its chain ``d(p+) < d(n)`` is left, with the margin between
    classes: ``[g3 + d(p+) - d(n)]_+``.

    Args:
        near: ``(B,)`` distance to ``p+``, the farthest row of the anchor's cluster.
        other: to ``p-``, the nearest row of its class in another cluster.
        far: to ``p--``, the farthest row of its class.
        rival: to ``n``, the nearest row of another class.
        split: ``(B,)`` bool, whether the anchor's class has two clusters or more.
        margins: ``g1, g2, g3``.

    Returns:
        ``(B,)``.

    Reference: after Huang et al., *Learning deep representation for imbalanced
    classification*, CVPR 2016.
    """
    g1, g2, g3 = margins
    inside = (g1 + near - other).clamp_min(0) + (g2 + other - far).clamp_min(0)
    last = torch.where(split, far, near)
    return torch.where(split, inside, 0.0) + (g3 + last - rival).clamp_min(0)


def quintuplet_loss(
    anchor: Tensor,
    partners: Sequence[Tensor],
    *,
    split: Tensor,
    margins: Sequence[float] = (0.1, 0.1, 0.2),
) -> Tensor:
    """:func:`quintuplet_hinges` of squared Euclidean distances of unit-length features.

    Args:
        anchor: ``(B, D)`` features, of any length.
        partners: ``p+, p-, p--, n``, each ``(B, D)``.
        split: ``(B,)`` bool, whether the anchor's class has two clusters or more.
        margins: ``g1, g2, g3``.

    Returns:
        ``(B,)``.
    """
    unit = torch.nn.functional.normalize
    a = unit(anchor, dim=1)
    near, other, far, rival = ((a - unit(x, dim=1)).square().sum(1) for x in partners)
    return quintuplet_hinges(near, other, far, rival, split=split, margins=margins)


def quintuplet_table(
    features: Tensor, labels: Tensor, clusters: Tensor, candidates: Tensor
) -> tuple[Tensor, Tensor]:
    """The four partners of every row, by squared Euclidean distance.

    ``p+`` is the farthest row of the own cluster (the row itself where it is alone), ``p-`` the
    nearest of the class in another cluster, ``p--`` the farthest of the class, ``n`` the nearest
    of another class; all but ``p+`` are looked for among ``candidates``. Where these hold no
    other cluster of the class, as for a class that is one cluster, ``p-`` and ``p--`` name the
    row itself.

    Args:
        features: ``(N, D)`` unit-length rows.
        labels: ``(N,)`` class ids.
        clusters: ``(N,)`` cluster ids; no cluster holds rows of two classes.
        candidates: positions that may be partners, of two classes at least.

    Returns:
        ``(N, 4)`` positions and ``(N,)`` bool, whether the row has a ``p-``.
    """
    n = len(labels)
    table = torch.arange(n)[:, None].repeat(1, 4)
    split = torch.zeros(n, dtype=torch.bool)
    pool, pool_y, pool_k = features[candidates], labels[candidates], clusters[candidates]
    for rows in torch.arange(n).split(_ROWS):
        distance = (2 - 2 * features[rows] @ pool.T).clamp_min(0)
        mine = labels[rows][:, None] == pool_y
        apart = mine & (clusters[rows][:, None] != pool_k)
        has = apart.any(1)
        split[rows] = has
        nearest = torch.where(apart, distance, torch.inf).argmin(1)
        farthest = torch.where(mine, distance, -torch.inf).argmax(1)
        table[rows, 1] = torch.where(has, candidates[nearest], rows)
        table[rows, 2] = torch.where(has, candidates[farthest], rows)
        table[rows, 3] = candidates[torch.where(mine, torch.inf, distance).argmin(1)]
    order = torch.argsort(clusters, stable=True)
    for members in order.split(torch.unique(clusters, return_counts=True)[1].tolist()):
        similar = features[members] @ features[members].T
        table[members, 0] = members[similar.argmin(1)]
    return table, split
