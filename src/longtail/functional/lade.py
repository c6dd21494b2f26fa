"""The regulariser that disentangles the label distribution from the logits (LADE)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from longtail.checks import is_finite
from longtail.errors import ConfigError, DataError, UnknownNameError
from longtail.functional.precision import widen

__all__ = ["IMPORTANCE", "LadeSums", "lade_regulariser", "lade_sums"]

IMPORTANCE = ("sample", "class")


@dataclass(frozen=True)
class LadeSums:
    """What a batch adds up to; the sums of parts of a batch can be joined.

    Attributes:
        density: ``(C,)`` ``log sum_i v_i w_ic exp z_ic``.
        linear: ``(C,)`` ``sum_i v_i q_ic z_ic``.
        labels: ``(C,)`` ``sum_i v_i q_ic``.
        rows: 0-d ``sum_i v_i``.
    """

    density: Tensor
    linear: Tensor
    labels: Tensor
    rows: Tensor

    def value(self, log_prior: Tensor, penalty: float) -> Tensor:
        """``-sum_c prior_c (T_c - penalty S_c^2)`` with ``S_c`` the log of the mean density."""
        prior = log_prior.exp().to(self.density.dtype)
        log_mean = self.density - self.rows.log()
        own = torch.where(self.labels > 0, self.linear / self.labels.clamp_min(1e-12), 0.0)
        terms = own - log_mean - penalty * log_mean.square()
        return -torch.where(prior > 0, prior * terms, 0.0).sum()


def lade_sums(
    logits: Tensor,
    target: Tensor,
    log_prior: Tensor,
    *,
    importance: str = "sample",
    sample_weight: Tensor | None = None,
) -> LadeSums:
    """The sums over a batch that :func:`lade_regulariser` is made of.

    Args:
        logits: ``(B, C)``, float32 or wider.
        target: ``(B,)`` class ids, or ``(B, C)`` probabilities.
        log_prior: ``(C,)`` of the training data; a masked class at ``-inf`` is left out.
        importance: whose prior a row is divided by: its own (``sample``), or that of the column
            (``class``).
        sample_weight: ``(B,)`` ``v``, or ``None`` for ones.

    Raises:
        ConfigError: an unknown importance.
    """
    if importance not in IMPORTANCE:
        raise UnknownNameError("importance", importance, IMPORTANCE)
    c = logits.shape[1]
    log_pi = torch.where(torch.isneginf(log_prior), 0.0, log_prior).to(logits.dtype)
    v = torch.ones_like(logits[:, 0]) if sample_weight is None else sample_weight.to(logits.dtype)
    if target.is_floating_point():
        q = target.to(logits.dtype)
        own = (q * (-log_pi).exp()).sum(1).log()
        weighted = q * v[:, None]
        linear, labels = (weighted * logits).sum(0), weighted.sum(0)
    else:  # one class a row: what concerns it is looked up, not spread over (B, C)
        own = -log_pi[target]
        picked = logits.gather(1, target[:, None])[:, 0]
        none = logits.new_zeros(c)
        linear, labels = none.index_add(0, target, v * picked), none.index_add(0, target, v)
    log_w = (own if importance == "sample" else v.new_zeros(())) - math.log(c) + v.log()
    raised = logits if importance == "sample" else logits - log_pi
    density = (raised + log_w[:, None]).logsumexp(0)
    return LadeSums(density, linear, labels, v.sum())


def lade_regulariser(
    logits: Tensor,
    target: Tensor,
    log_prior: Tensor,
    *,
    penalty: float = 0.01,
    importance: str = "sample",
    sample_weight: Tensor | None = None,
) -> Tensor:
    """``-sum_c prior_c (T_c - penalty S_c^2)``, one number for a batch.

    ``T_c = mean_{y_i = c} z_ic - S_c`` is a bound on how much the logit of a class tells of it
    under a uniform prior, ``S_c = log mean_i (1 / C) / prior(y_i) exp z_ic``; the square keeps the
    logits normalised. A class without a row in the batch has a first term of zero.

    In a loop of one's own the loss is ``balanced_softmax(z, y) + alpha * lade_regulariser(...)``.

    Args:
        logits: ``(B, C)``; half precision is widened to float32.
        target: ``(B,)`` class ids, or ``(B, C)`` probabilities.
        log_prior: ``(C,)`` of the training data.
        penalty: weight of the square.
        importance: ``sample`` divides by the prior of the row's own class (the paper), ``class``
            by that of the column (the published code).
        sample_weight: ``(B,)``, or ``None``.

    Raises:
        ConfigError: an unknown importance, or a penalty that is negative or not finite.
        DataError: shapes that do not fit, or labels outside ``[0, C)``.

    Reference: Hong et al., *Disentangling label distribution for long-tailed visual recognition*,
    CVPR 2021.
    """
    _refuse(logits, target, log_prior, penalty)
    z = widen(logits)
    sums = lade_sums(z, target, log_prior, importance=importance, sample_weight=sample_weight)
    return sums.value(log_prior, penalty)


def _refuse(logits: Tensor, target: Tensor, log_prior: Tensor, penalty: float) -> None:
    """Refuse what does not fit together."""
    if not is_finite(penalty) or penalty < 0:
        raise ConfigError(f"penalty must be finite and not negative, not {penalty}", "try 0.01")
    soft = target.is_floating_point()
    shape = logits.shape if soft else logits.shape[:1]
    fits = logits.ndim == 2 and target.shape == shape and log_prior.shape == logits.shape[1:]
    if not fits or not logits.is_floating_point() or target.dtype == torch.bool:
        raise DataError(
            f"logits {tuple(logits.shape)}, a target of {target.dtype} {tuple(target.shape)} and a "
            f"log prior {tuple(log_prior.shape)} do not fit",
            "give logits (B, C), class ids (B,) or probabilities (B, C), and a log prior (C,)",
        )
    if soft or torch.compiler.is_compiling():
        return
    outside = int(((target < 0) | (target >= logits.shape[1])).sum())
    if outside:
        raise DataError(
            f"{outside} rows have a label outside [0, {logits.shape[1]})",
            "map labels to class ids, and leave rows that do not count out",
        )
