"""Classifiers as formulas: features and weights in, logits out."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "causal_logits",
    "dot_regression",
    "etf_lengths",
    "gaussian_logits",
    "log_bessel",
    "simplex_etf",
]


def causal_logits(
    features: Tensor,
    weight: Tensor,
    *,
    heads: int = 2,
    scale: float = 16.0,
    gamma: float = 1 / 32,
    direction: Tensor | None = None,
    alpha: Tensor | float = 1.5,
) -> Tensor:
    """``(s/K) sum_k <x_k, w_ck / (|w_ck| + gamma)>`` over ``K`` chunks.

    ``x_k = h_k/|h_k|``, or with a direction ``h_k/|h_k| - alpha cos(h_k, d_k) d_k/|d_k|``. A zero
    chunk of ``h`` or ``d`` counts as no direction at all.

    Args:
        features: ``(B, D)``, ``D`` divisible by ``heads``.
        weight: ``(C, D)``.
        heads: ``K``.
        scale: ``s``.
        gamma: added to the length of a chunk of the weight.
        direction: ``(D,)``, or ``None`` for the factual logits.
        alpha: strength of the counterfactual.

    Returns:
        ``(B, C)``.

    Reference: Tang et al., NeurIPS 2020.
    """
    x = F.normalize(features.unflatten(1, (heads, -1)), dim=2)
    w = weight.unflatten(1, (heads, -1))
    w = w / (w.norm(dim=2, keepdim=True) + gamma)
    if direction is not None:
        d = F.normalize(direction.unflatten(0, (heads, -1)), dim=1)
        x = x - alpha * (x * d).sum(2, keepdim=True) * d
    z: Tensor = x.flatten(1) @ w.flatten(1).T
    return scale / heads * z


def simplex_etf(basis: Tensor) -> Tensor:
    """``sqrt(C/(C-1)) (I - 11'/C) U'``: unit vectors of pairwise cosine ``-1/(C-1)``, as rows.

    Args:
        basis: ``(D, C)``: ``U``. Orthonormal columns, or the columns of an orthonormal
            ``(D, C-1)`` matrix spread over a basis of the vectors that add up to zero.

    Returns:
        ``(C, D)``.

    Reference: Yang et al., NeurIPS 2022.
    """
    c = basis.shape[1]
    return math.sqrt(c / (c - 1)) * (basis - basis.mean(1, keepdim=True)).T


def etf_lengths(counts: Tensor) -> Tensor:
    """``sqrt(mean n / n_c)``, the mean over classes with ``n_c > 0``; 1 for the others.

    Args:
        counts: ``(C,)``.
    """
    there = counts > 0
    mean = counts.sum() / there.sum().clamp_min(1)
    return torch.where(there, mean / torch.where(there, counts, 1), 1.0).sqrt()


def dot_regression(dots: Tensor, length: Tensor, classifier: Tensor | float = 1.0) -> Tensor:
    """``(l m.h - l |h|)^2 / (2 |h|)`` with ``|h|`` without gradient.

    Args:
        dots: ``m.h`` of a unit classifier vector and the feature, any shape.
        length: ``|h|``, to be broadcast; its gradient is cut.
        classifier: ``l``, length that the classifier vector is given.

    Reference: Yang et al., NeurIPS 2022.
    """
    length = length.detach().clamp_min(1e-12)
    return 0.5 * (classifier * (dots - length)).square() / length


def gaussian_logits(features: Tensor, means: Tensor, log_sigma: Tensor) -> Tensor:
    """``-|h - m_c|^2 / (2 s_c^2)``.

    Args:
        features: ``(B, D)``.
        means: ``(C, D)``.
        log_sigma: ``(C,)`` or 0-d: ``log s_c``.

    Returns:
        ``(B, C)``.
    """
    middle = means.mean(0)  # distances do not see a shift, and short vectors lose no digits
    h, m = features - middle, means - middle
    squares = h.square().sum(1, keepdim=True) - 2 * (h @ m.T) + m.square().sum(1)
    return -0.5 * squares.clamp_min(0) * (-2 * log_sigma).exp()


def log_bessel(order: float, x: Tensor) -> Tensor:
    """``log I_v(x)`` of the modified Bessel function, differentiable in ``x > 0``.

    The uniform expansion for large orders at ``v + 12``, and downward recurrence from there;
    off by less than 1e-7 in float64.

    Args:
        order: ``v >= 0``.
        x: any shape.
    """
    steps = 12
    total = _uniform(order + steps, x)
    ratio = (_uniform(order + steps + 1, x) - total).exp()  # I_{v+1} / I_v
    for k in range(steps, 0, -1):
        up = ratio + 2 * (order + k) / x  # I_{v-1} / I_v
        total = total + up.log()
        ratio = 1 / up
    return total


def _uniform(order: float, x: Tensor) -> Tensor:
    """The expansion of Abramowitz and Stegun 9.7.7, to the fourth term."""
    z = x / order
    root = (1 + z * z).sqrt()
    t = 1 / root
    t2 = t * t
    u1 = t * (3 - 5 * t2) / 24
    u2 = t2 * (81 + t2 * (-462 + 385 * t2)) / 1152
    u3 = t * t2 * (30375 + t2 * (-369603 + t2 * (765765 - 425425 * t2))) / 414720
    u4 = (
        t2
        * t2
        * (4465125 + t2 * (-94121676 + t2 * (349922430 + t2 * (-446185740 + 185910725 * t2))))
        / 39813120
    )
    series = u1 / order + u2 / order**2 + u3 / order**3 + u4 / order**4
    eta = root + (z / (1 + root)).log()
    return order * eta - 0.5 * (2 * math.pi * order * root).log() + series.log1p()
