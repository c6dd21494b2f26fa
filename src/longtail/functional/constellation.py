"""Classes as constellations: a centre and the same displacements around every centre."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["constellation_cosines"]


def constellation_cosines(features: Tensor, centres: Tensor, displacements: Tensor) -> Tensor:
    """``max_s cos(h, p_{j,s})`` over the points ``{w_j + d_1, ..., w_j + d_S, w_j}`` of class ``j``.

    One product of normalised matrices: nothing of shape ``(B, C (S + 1), D)`` is made. Where
    points tie, the first displaced one is taken and gets the gradient: displacements that start
    at zero tie with their centre, and were the centre taken they would never move.

    Args:
        features: ``(B, D)`` float32 or wider; a zero row has cosines of zero.
        centres: ``(C, D)``.
        displacements: ``(S, D)``.

    Returns:
        ``(B, C)`` cosines.

    Reference: Liu et al., ICCV 2021.
    """
    classes, width = centres.shape
    points = torch.cat([centres[:, None] + displacements, centres[:, None]], 1)  # (C, S + 1, D)
    unit = F.normalize(points.reshape(-1, width), dim=1)
    cosines = F.linear(F.normalize(features, dim=1), unit)
    out: Tensor = cosines.view(len(features), classes, -1).max(2).values
    return out
