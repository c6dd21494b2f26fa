"""Estimating the class mix of unlabelled rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from longtail.errors import ConfigError, DataError
from longtail.posthoc.checks import vector

__all__ = ["EMFit", "estimate_prior"]

_FLOOR = 1e-12
_CHUNK = 1 << 22


@dataclass(frozen=True, eq=False)
class EMFit:
    """Where expectation maximisation ended.

    Attributes:
        prior: ``(C,)`` float64.
        converged: the last step moved no entry by ``tolerance``.
        steps: steps taken.
    """

    prior: Tensor
    converged: bool
    steps: int


def estimate_prior(
    p: Tensor,
    source: Tensor,
    *,
    reference: Tensor | None = None,
    alpha: Tensor | None = None,
    tolerance: float = 1e-8,
    max_steps: int = 2000,
) -> EMFit:
    """Expectation maximisation under label shift, with a Dirichlet prior.

    ``r_ic ~ p_ic q_c / source_c``, ``q_c <- (sum_i r_ic + alpha_c) / (U + sum alpha)``, starting
    at the reference prior.

    Args:
        p: ``(U, C)`` probabilities of unlabelled rows.
        source: ``(C,)`` prior that ``p`` answers to.
        reference: ``(C,)`` prior expected beforehand, and the start; ``None``: ``source``.
        alpha: ``(C,)`` pseudo-counts; ``None``: ``C * reference``; zeros: plain maximum
            likelihood, which runs to the boundary on small sets.
        tolerance: largest change of an entry at which to stop.
        max_steps: at most so many steps.

    Raises:
        ConfigError: no step, or a tolerance that is negative or no number.
        DataError: rows that are no probabilities, or priors that are none or of another length.

    Reference: Saerens, Latinne and Decaestecker, Neural Computation 2002.
    """
    p = _checked(p)
    u, c = p.shape
    if max_steps < 1 or not tolerance >= 0:
        raise ConfigError(
            f"the iteration cannot run with max_steps={max_steps}, tolerance={tolerance}",
            "give one step or more, and a tolerance such as 1e-8",
        )
    src = vector("the source prior", source, c)
    ref = src if reference is None else vector("the reference prior", reference, c)
    src, ref = src / src.sum(), ref / ref.sum()
    live = src > 0
    ratio = torch.where(live, p / torch.where(live, src, 1.0), 0.0)
    extra = c * ref if alpha is None else _pseudo_counts(alpha, c)
    q = torch.where(live, ref.clamp_min(1 / (10 * u)), 0.0)
    q = q / q.sum()
    chunk = max(1, _CHUNK // c)
    for step in range(1, max_steps + 1):
        total = extra.clone()
        for first in range(0, u, chunk):
            joint = ratio[first : first + chunk] * q
            total += (joint / joint.sum(1, keepdim=True).clamp_min(_FLOOR)).sum(0)
        new = total / total.sum()
        moved = float((new - q).abs().max())
        q = new
        if moved < tolerance:
            return EMFit(q, True, step)
    return EMFit(q, False, max_steps)


def _pseudo_counts(alpha: Tensor, classes: int) -> Tensor:
    a = alpha.detach().cpu().double()
    if a.shape != (classes,) or not torch.isfinite(a).all() or (a < 0).any():
        raise DataError(
            f"pseudo-counts of shape {tuple(a.shape)} must be {classes} finite numbers, not negative",
            "give one for each class, or leave alpha out",
        )
    return a


def _checked(p: Tensor) -> Tensor:
    p = p.detach().cpu().double()
    if p.ndim != 2 or not len(p) or not torch.isfinite(p).all():
        raise DataError(
            f"probabilities of shape {tuple(p.shape)} cannot be used", "give finite rows (U, C)"
        )
    if ((p.sum(1) - 1).abs() > 1e-4).any() or (p < 0).any():
        raise DataError("the rows do not sum to 1", "give probabilities, not logits")
    return p
