"""The fixed simplex classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from longtail.checks import is_finite
from longtail.errors import ConfigError
from longtail.functional.heads import simplex_etf
from longtail.models.heads.base import Head, wide

__all__ = ["EtfHead"]


class EtfHead(Head):
    """``z_c = s m_c . h`` with fixed unit vectors ``m_c`` of pairwise cosine ``-1/(C-1)``.

    The vectors are a simplex equiangular tight frame in a random orientation, drawn from torch's
    generator and saved as a buffer; nothing in the head is trained. Raw softmax values follow no
    prior that a formula gives: train it with ``dot_regression``, or with any loss on scaled
    cosines of the same scale (then on features of length one, see the network ``neck``).

    Args:
        in_features: ``D >= C - 1``.
        num_classes: ``C``.
        scale: ``s``; only the size of probabilities depends on it under ``dot_regression``.

    Attributes:
        weight: ``(C, D)`` buffer of unit rows.

    Shapes:
        ``(B, D)`` to ``(B, C)``.

    Raises:
        ConfigError: ``D < C - 1``: that many directions do not fit.

    Reference: Yang et al., NeurIPS 2022.
    """

    scale: float

    def __init__(self, in_features: int, num_classes: int, *, scale: float = 1.0) -> None:
        super().__init__(in_features, num_classes)
        if in_features < num_classes - 1:
            raise ConfigError(
                f"{num_classes} directions of equal angles need {num_classes - 1} features, "
                f"the backbone gives {in_features}",
                "use network=neck, which widens the features, or a wider backbone",
            )
        if not is_finite(scale) or scale <= 0:
            raise ConfigError(f"the scale must be positive, not {scale}", "try scale=1.0")
        self.scale = float(scale)
        del self.weight
        self.register_buffer("weight", torch.empty(num_classes, in_features))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw another orientation."""
        c = self.num_classes
        q, r = torch.linalg.qr(torch.randn(self.in_features, c - 1, dtype=torch.float64))
        sign = torch.where(torch.diagonal(r) < 0, -1.0, 1.0)  # makes every orientation as likely
        self.weight.copy_(simplex_etf(q * sign @ _helmert(c).T))

    def forward(self, features: Tensor) -> Tensor:
        """Scaled dot products."""
        with torch.autocast(features.device.type, enabled=False):
            h = wide(features)
            return self.scale * nn.functional.linear(h, wide(self.weight).to(h.dtype))


def _helmert(c: int) -> Tensor:
    """``(C, C-1)`` orthonormal columns that add up to zero."""
    k = torch.arange(1, c, dtype=torch.float64)
    rows = torch.arange(c)[:, None]
    at = torch.where(rows < k, 1.0, torch.where(rows == k, -k, 0.0))
    return at / (k * (k + 1)).sqrt()
