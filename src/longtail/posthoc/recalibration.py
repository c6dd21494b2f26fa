"""Posterior re-calibration: the posterior moved part of the way to a target prior."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from longtail.posthoc.base import FitData, Tuned, refuse_corrected
from longtail.posthoc.checks import vector
from longtail.posthoc.prior import read_target_prior, shift_offset
from longtail.types import ClassStats, Outputs

__all__ = ["Recalibration", "beta_grid", "tilted_losses"]

_CHUNK = 1 << 20


def beta_grid() -> Tensor:
    """``(201,)`` float64: 0, 0.01, ..., 2."""
    return torch.arange(201, dtype=torch.float64) / 100


def tilted_losses(logits: Tensor, offset: Tensor, target: Tensor, betas: Tensor) -> Tensor:
    """``-log softmax(z + beta offset)_y`` of every row and every ``beta``, by one matrix product.

    ``sum_c exp(z_c + beta o_c) = sum_c exp(z_c) exp(o_c)^beta`` is a row times a column.

    Args:
        logits: ``(B, C)``.
        offset: ``(C,)``; ``-inf`` for a masked class.
        target: ``(B,)`` labels, none of a masked class.
        betas: ``(T,)``.

    Returns:
        ``(B, T)`` float64.
    """
    live = torch.isfinite(offset)
    o = torch.where(live, offset, 0.0).double()
    z = torch.where(live, logits.double(), -torch.inf)
    z = z - z.amax(1, keepdim=True)
    top = o.abs().max() * betas.abs()  # keeps the products within range
    total = z.exp() @ (o[:, None] * betas - top).exp()
    own = z.gather(1, target[:, None]) + o[target][:, None] * betas
    return total.log() + top - own


class Recalibration(Tuned):
    """``q^(1-beta) (q^r)^beta``, normalised, with ``q = softmax(z)`` and ``q^r ~ q target / prior``.

    That is ``softmax(z - beta (log prior - log target))``: with a uniform target the map of
    post-hoc logit adjustment at ``tau = beta``. What differs is how its strength is found: ``beta``
    is that of the most likely validation labels, each class weighing as much as the target prior
    gives it (over 0, 0.01, ..., 2), because what is re-calibrated is a posterior; logit adjustment
    takes the ``tau`` of the best balanced accuracy. Without validation data ``beta`` is 1. A
    masked class stays masked.

    Args:
        beta: 0 keeps the posterior, 1 moves it all the way; ``None``: chosen.
        target: a form of :func:`longtail.posthoc.read_target_prior`.
        class_counts: training counts; given, the part works at once (``beta=None``: 1).

    Raises:
        ConfigError: ``beta`` out of range, or fitted on a model whose raw softmax answers to
            another prior than the training one.

    Reference: after Tian et al., *Posterior re-calibration for imbalanced datasets*, NeurIPS
    2020; the likelihood as criterion is this library's reading.
    """

    needs_stats = True
    corrects_prior = True
    offset: Tensor
    option = "beta"

    def __init__(
        self, beta: float | None = None, target: Any = "uniform", *, class_counts: Any = None
    ) -> None:
        super().__init__(beta, "1 corrects in full")
        self.beta, self.target = beta, target
        self.register_buffer("offset", torch.zeros(0, dtype=torch.float64))
        self.finish(class_counts)

    def on_bind(self, stats: ClassStats) -> None:
        """``log target - log prior``; usable at once, with the beta given or 1."""
        wanted = read_target_prior(
            self.target, natural=stats.prior, effective=stats.prior, names=stats.names
        )
        self.offset = shift_offset(stats.prior, wanted).to(self.offset.device)
        self.fitted.fill_(True)

    def check_prior(self, stats: ClassStats, prior: Tensor | None) -> None:
        """Refuse any prior but that of the training data."""
        super().check_prior(stats, prior)
        refuse_corrected("uno_ic", stats, prior)

    def on_fit(self, data: FitData) -> None:
        """Choose beta."""
        self._notes = ()
        self.chosen.fill_(False)
        if self.beta is not None:
            return
        labelled = data.labelled
        if labelled is None:
            self.unchosen()
            return
        logits, target = labelled[0].logits.detach().cpu(), labelled[1].cpu()
        counts = torch.bincount(target, minlength=data.stats.num_classes)
        wanted = (self.offset.cpu() + data.stats.log_prior).exp()
        weight = torch.where(counts > 0, wanted / counts.clamp_min(1), 0.0)[target]
        grid, step = beta_grid(), max(1, _CHUNK // data.stats.num_classes)
        score = torch.zeros(len(grid), dtype=torch.float64)
        for first in range(0, len(target), step):
            rows = slice(first, first + step)
            losses = tilted_losses(logits[rows], self.offset.cpu(), target[rows], grid)
            score += weight[rows] @ losses
        self.strength.fill_(float(grid[score.argmin()]))
        self.chosen.fill_(True)
        missing = int((counts == 0).sum())
        if missing:
            self._notes = (
                f"beta chosen without the {missing} classes that have no validation row",
            )

    def on_transform(self, outputs: Outputs) -> Tensor:
        """Re-calibrated logits ``(B, C)``: their softmax is the posterior."""
        z = outputs.logits
        live = torch.isfinite(self.offset)
        moved = torch.where(live, self.strength * torch.where(live, self.offset, 0.0), -torch.inf)
        return z + moved.to(z)

    def effective_prior(self, prior: Tensor) -> Tensor:
        """``prior (target / trained)^beta``, normalised."""
        self.ready()
        prior, offset = vector("the prior", prior, self.num_classes()), self.offset.cpu()
        moved = self.strength.cpu() * torch.where(torch.isfinite(offset), offset, 0.0)
        return (prior.log() + moved).softmax(0)

    def describe(self) -> dict[str, Any]:
        """``beta`` in use, whether it was chosen, and the target."""
        return {
            **super().describe(),
            "target": self.target if isinstance(self.target, str) else str(self.target),
        }
