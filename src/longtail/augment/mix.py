"""Batch transforms that mix rows and their labels."""

from __future__ import annotations

import torch
from scipy.special import betaincinv
from torch import Tensor

from longtail.augment.base import MixAugment, check_draws
from longtail.checks import is_finite
from longtail.errors import ConfigError, DataError
from longtail.types import Batch

__all__ = ["Mixup", "beta_quantile", "mix_rows", "partners"]


def beta_quantile(alpha: float, u: float) -> float:
    """The ``u``-quantile of ``Beta(alpha, alpha)``; 1 for ``alpha <= 0`` (nothing is mixed)."""
    return 1.0 if alpha <= 0 else float(betaincinv(alpha, alpha, u))


def partners(u: Tensor) -> Tensor:
    """``(B,)`` uniform numbers to a permutation of the batch."""
    return torch.argsort(u, stable=True)


def mix_rows(batch: Batch, partner: Tensor, lam: float) -> Batch:
    """``lam x + (1 - lam) x[partner]`` in every view; both labels kept with their weights."""
    views = tuple(torch.lerp(v[partner], v, lam) for v in batch.views)
    share = torch.full((len(batch),), lam, device=batch.target.device)
    mixed = [(batch.target, share), (batch.target[partner], 1 - share)]
    return batch.with_(views=views, mixed=mixed)


def check_mixable(name: str, batch: Batch) -> None:
    """Refuse integer inputs, and labels that are mixed already."""
    if any(not v.is_floating_point() for v in batch.views):
        raise DataError(
            f"{name} cannot mix inputs of {batch.views[0].dtype}", "leave it out for texts"
        )
    if batch.mixed:
        raise ConfigError(
            f"{name} found labels that are mixed already", "keep one mixing augmentation"
        )


class Mixup(MixAugment):
    """Mix each row with a partner of the batch: ``x' = lam x + (1 - lam) x[perm]``.

    ``lam ~ Beta(alpha, alpha)``, one a step; the loss is
    ``lam l(z, y) + (1 - lam) l(z, y[perm])``.

    Args:
        alpha: 1 mixes evenly; 0 or less mixes nothing.

    Shapes:
        views ``(B, ...)`` floats; one random number a row (whose order is the permutation) and
        one a step (whose Beta quantile is ``lam``).

    Reference: Zhang et al., ICLR 2018.
    """

    draws = 1
    step_draws = 1

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        if not is_finite(alpha):
            raise ConfigError(f"alpha must be finite, not {alpha}", "try alpha=1.0")
        self.alpha = alpha

    def forward(self, batch: Batch, u: Tensor, s: Tensor) -> Batch:
        """Mix within the batch."""
        check_mixable("mixup", batch)
        check_draws("mixup", len(batch), self.draws, u)
        return mix_rows(batch, partners(u[:, 0]), beta_quantile(self.alpha, float(s[0])))
