"""Dynamic curriculum: the falling exponent, the batch's weights, triplets with easy anchors."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.errors import UnknownNameError

__all__ = [
    "SCHEDULES",
    "curriculum_exponent",
    "easy_anchor_triplets",
    "metric_share",
    "selection_weights",
]

SCHEDULES = ("linear", "convex", "concave", "composite")


def curriculum_exponent(done: Tensor, schedule: str = "composite", *, left: float = 0.01) -> Tensor:
    """``g(t)``, falling from 1 to 0 as the fraction ``t`` of the stage goes from 0 to 1.

    ``linear`` is ``1 - t``, ``convex`` ``cos(pi t / 2)``, ``concave`` ``left ** t``, ``composite``
    ``(1 + cos(pi t)) / 2``. The names are the published ones: ``convex`` falls late, ``concave``
    early, ``composite`` late and then early.

    Args:
        done: ``t`` in ``[0, 1]``, any shape.
        schedule: one of the four.
        left: what is left of a concave schedule at the end.

    Reference: Wang et al., *Dynamic curriculum learning for imbalanced data classification*,
    ICCV 2019.
    """
    if schedule == "linear":
        return 1 - done
    if schedule == "convex":
        return torch.cos(math.pi / 2 * done)
    if schedule == "concave":
        return torch.exp(math.log(left) * done)
    if schedule == "composite":
        return (1 + torch.cos(math.pi * done)) / 2
    raise UnknownNameError("schedule of a curriculum", schedule, SCHEDULES)


def metric_share(done: Tensor, *, until: float, floor: float) -> Tensor:
    """``(1 + cos(pi t)) / 2 + floor`` up to ``t = until``, then ``floor``: weight of the triplets.

    Args:
        done: fraction ``t`` of the stage, any shape.
        until: where the model is left to teach itself.
        floor: what is left then.

    Reference: Wang et al., ICCV 2019.
    """
    early = (1 + torch.cos(math.pi * done)) / 2
    return torch.where(done < until, early, 0.0) + floor


def selection_weights(target: Tensor, counts: Tensor, exponent: Tensor, uniform: Tensor) -> Tensor:
    """Weights that bring a batch to the target distribution ``D_c ~ n_c ** g``.

    ``w_c = D_c / B_c``, target and batch counts ``B_c`` both divided by those of the rarest
    class of the batch. A class with ``w_c >= 1`` keeps its rows with that weight; of another a
    share ``w_c`` is kept, by chance, with weight one.

    Args:
        target: ``(B,)`` class ids.
        counts: ``(C,)`` training counts ``n``.
        exponent: ``g``, 0-d.
        uniform: ``(B,)`` random numbers in ``[0, 1)``.

    Returns:
        ``(B,)``, the dtype of ``counts``; zero for a row that is left out.

    Reference: after Wang et al., ICCV 2019.
    """
    n = counts[target]
    batch = torch.zeros_like(counts).index_add_(0, target, torch.ones_like(n))[target]
    rarest = n == n.min()
    least = torch.where(rarest, batch, 0).amax()  # classes of equal count: the fuller one
    weight = (n / n.min()) ** exponent.to(n.dtype) * least / batch
    return torch.where(weight >= 1, weight, (uniform < weight).to(weight.dtype))


def easy_anchor_triplets(
    features: Tensor,
    probability: Tensor,
    target: Tensor,
    minority: Tensor,
    *,
    margin: float = 0.2,
    easiest: int = 3,
) -> Tensor:
    """Mean of ``max(0, margin + d(a, p) - d(a, n))``: hard rows are pulled to easy anchors.

    Of every minority class of the batch, the anchors are its ``easiest`` rows with the highest
    ``p_y``; the positives of an anchor are the as many rows of its class with the lowest
    ``p_y``, its negatives the as many rows of other classes with the highest probability of
    its class. ``d`` is the squared Euclidean distance of features of unit length.

    Args:
        features: ``(B, D)``.
        probability: ``(B, C)``; mining only, no gradient.
        target: ``(B,)`` class ids.
        minority: ``(C,)`` bool.
        margin: of the triplets.
        easiest: rows a class and a role.

    Returns:
        0-d; zero where the batch holds no triplet.

    Reference: after Wang et al., ICCV 2019.
    """
    p = probability.detach()
    own = p.gather(1, target[:, None])[:, 0]
    same = target[:, None] == target
    k = min(easiest, len(target))
    row = torch.arange(len(target), device=target.device)
    before = (own > own[:, None]) | ((own == own[:, None]) & (row < row[:, None]))
    anchor = minority[target] & ((same & before).sum(1) < k)
    mates = same & (row != row[:, None])
    pull = torch.where(mates, -own, -torch.inf).topk(k, dim=1)
    push = torch.where(same, -torch.inf, p[:, target].T).topk(k, dim=1)
    h = F.normalize(features, dim=1)
    distance = (2 - 2 * h @ h.T).clamp_min(0)
    near, far = distance.gather(1, pull.indices), distance.gather(1, push.indices)
    hinge = (margin + near[:, :, None] - far[:, None, :]).clamp_min(0)
    there = torch.isfinite(pull.values)[:, :, None] & torch.isfinite(push.values)[:, None, :]
    there = there & anchor[:, None, None]
    return torch.where(there, hinge, 0.0).sum() / there.sum().clamp_min(1)
