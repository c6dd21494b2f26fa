"""Mixing two rows: weights from a uniform number, mixed inputs, mixed losses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from longtail.checks import is_finite
from longtail.errors import ConfigError

__all__ = ["beta_quantile", "mix_rows", "mixed_loss", "mixup_weight"]


def beta_quantile(u: Tensor, a: float, b: float) -> Tensor:
    """The value below which a Beta(``a``, ``b``) number falls with probability ``u``.

    Args:
        u: uniform numbers in ``[0, 1)`` of any shape, on the CPU.
        a: positive shape parameter.
        b: positive shape parameter.

    Returns:
        float64 numbers in ``[0, 1]`` of the same shape.
    """
    if not is_finite(a, b) or a <= 0 or b <= 0:
        raise ConfigError(
            f"Beta({a}, {b}) does not exist: both parameters must be positive",
            "Beta(1, 1) is the uniform distribution",
        )
    from scipy.special import betaincinv

    value = betaincinv(a, b, u.detach().cpu().to(torch.float64).numpy())
    return torch.from_numpy(np.asarray(value, dtype=np.float64)).reshape(u.shape)


def mixup_weight(u: Tensor, alpha: float = 1.0) -> Tensor:
    """``lambda ~ Beta(alpha, alpha)`` from a uniform number; one where ``alpha <= 0``.

    Args:
        u: uniform numbers in ``[0, 1)`` of any shape, on the CPU.
        alpha: 1 is the uniform distribution, towards 0 the rows are hardly mixed.

    Returns:
        float64 weights of the first row, of the same shape.

    Reference: Zhang et al., *mixup: beyond empirical risk minimization*, ICLR 2018.
    """
    if not is_finite(alpha):
        raise ConfigError(f"alpha must be finite, not {alpha}", "1.0 is usual for long tails")
    if alpha <= 0:
        return torch.ones(u.shape, dtype=torch.float64)
    return beta_quantile(u, alpha, alpha)


def mix_rows(x: Tensor, partner: Tensor, weight: Tensor | float) -> Tensor:
    """``lambda x + (1 - lambda) x[partner]``; the input stays as it is.

    Args:
        x: ``(B, ...)``.
        partner: ``(B,)`` row that each row is mixed with.
        weight: ``lambda``, one number or ``(B,)``.
    """
    share = torch.as_tensor(weight, dtype=x.dtype, device=x.device)
    if share.ndim == 1:
        share = share.reshape(-1, *[1] * (x.ndim - 1))
    return torch.lerp(x[partner], x, share)


def mixed_loss(
    loss: Callable[[Tensor, Tensor], Tensor],
    logits: Tensor,
    first: Tensor,
    second: Tensor,
    weight: Tensor | float,
) -> Tensor:
    """``lambda loss(z, y) + (1 - lambda) loss(z, y')``.

    Args:
        loss: any loss of logits and target; its rows unreduced where ``weight`` is ``(B,)``.
        logits: ``(B, C)``.
        first: ``(B,)`` labels of the rows.
        second: ``(B,)`` labels of their partners.
        weight: ``lambda``, one number or ``(B,)``.
    """
    return weight * loss(logits, first) + (1 - weight) * loss(logits, second)
