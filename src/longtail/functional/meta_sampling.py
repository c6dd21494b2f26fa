"""Learned class rates: draws with a gradient, and where the rates begin."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.checks import is_finite
from longtail.errors import ConfigError

__all__ = ["drawn_entry", "initial_rates", "rated_draw"]


def initial_rates(prior: Tensor, power: float = 0.0) -> Tensor:
    """``omega`` with ``sigmoid(omega_c) = pi_c^-a / (min_j pi_j^-a + max_j pi_j^-a)``.

    ``power`` is ``a``; 0 gives every class the rate 1/2. A class without samples is left out of
    the extremes and begins at the highest rate of the others.

    Args:
        prior: ``(C,)`` training prior.
        power: finite.

    Returns:
        ``(C,)`` float64.

    Reference: Ren et al., *Balanced meta-softmax for long-tailed visual recognition*,
    NeurIPS 2020.
    """
    if not is_finite(power):
        raise ConfigError(f"power must be finite, not {power}", "0 starts all rates alike")
    present = prior > 0
    rate = torch.where(present, prior.double(), 1.0) ** -power
    low, high = rate[present].min(), rate[present].max()
    return torch.logit(torch.where(present, rate, high) / (low + high))


def rated_draw(
    omega: Tensor, counts: Tensor, uniform: Tensor, *, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """One class a row with probability ``~ n_c sigmoid(omega_c)``, and one-hot rows with a gradient.

    The largest of ``log n_c + log sigmoid(omega_c) + G_c`` with Gumbel noise ``G`` is drawn.
    The largest of ``n_c`` Gumbel variables is one shifted by ``log n_c``, so this is the draw
    over all ``N`` samples, without a ``B x N`` table. The one-hot rows have the gradient of the
    softmax at ``temperature`` (straight-through).

    Args:
        omega: ``(C,)``.
        counts: ``(C,)`` training counts.
        uniform: ``(B, C)`` numbers in ``(0, 1)``.
        temperature: positive.

    Returns:
        ``(B,)`` class ids and ``(B, C)`` one-hot rows.

    Reference: Ren et al., NeurIPS 2020; Jang et al., ICLR 2017 (straight-through Gumbel).
    """
    rate = counts.log() + F.logsigmoid(omega)
    noisy = rate - torch.log(-torch.log(uniform))
    label = noisy.argmax(1)
    soft = torch.softmax(noisy / temperature, dim=1)
    hard = F.one_hot(label, len(omega)).to(soft.dtype)
    return label, hard - soft.detach() + soft


def drawn_entry(one_hot: Tensor, label: Tensor) -> Tensor:
    """``(B,)`` entries of the one-hot rows at what was drawn: 1, with the draw's gradient.

    Times the losses of the rows they make those depend on the rates.

    Args:
        one_hot: ``(B, K)`` straight-through rows.
        label: ``(B,)`` columns that were drawn.
    """
    return one_hot.gather(1, label[:, None])[:, 0]
