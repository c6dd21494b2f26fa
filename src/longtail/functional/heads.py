"""Classifiers as formulas: features and weights in, logits out."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["causal_logits"]


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
