"""Post-hoc logit adjustment."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from longtail.functional.precision import widen
from longtail.posthoc.base import FitData, Tuned, refuse_corrected
from longtail.posthoc.checks import vector
from longtail.posthoc.choice import best_on_plateau, scores_over, tau_grid, winning_range
from longtail.types import ClassStats, Outputs

__all__ = ["LogitAdjust"]


class LogitAdjust(Tuned):
    """``z_c - tau log prior_c`` on a model trained with plain cross-entropy.

    With ``tau=None`` the value is chosen on validation data over 0, 0.1, ..., 2 by balanced
    accuracy, where recalls are drawn towards those of their shot group and a class without
    validation rows has its group's; of the best values the centre of the widest run is taken.
    Without validation data it is 1. A masked class stays masked.

    Args:
        tau: strength; ``None``: chosen.
        class_counts: training counts; given, the part works at once (``tau=None``: 1).

    Raises:
        ConfigError: fitted on a model whose raw softmax answers to another prior than the
            training one: the correction would be made twice.

    Reference: Menon et al., ICLR 2021.
    """

    needs_stats = True
    corrects_prior = True
    log_prior: Tensor

    def __init__(self, tau: float | None = None, *, class_counts: Any = None) -> None:
        super().__init__(tau, "1 is the usual value")
        self.tau = tau
        self.register_buffer("log_prior", torch.zeros(0, dtype=torch.float64))
        self.finish(class_counts)

    def on_bind(self, stats: ClassStats) -> None:
        """Take the training prior; usable at once, with the tau given or 1."""
        self.log_prior = stats.log_prior.to(self.log_prior.device)
        self.fitted.fill_(True)

    def check_prior(self, stats: ClassStats, prior: Tensor | None) -> None:
        """Refuse any prior but that of the training data."""
        super().check_prior(stats, prior)
        refuse_corrected("la_posthoc", stats, prior)

    def on_fit(self, data: FitData) -> None:
        """Choose tau."""
        self._notes = ()
        self.chosen.fill_(False)
        if self.tau is not None:
            return
        labelled = data.labelled
        if labelled is None:
            self.unchosen()
            return
        outputs, target = labelled
        logits, grid = widen(outputs.logits.detach()), tau_grid()
        finite = torch.where(data.stats.present, data.stats.log_prior, 0.0).to(logits)
        mask = torch.where(data.stats.present, 0.0, -torch.inf).to(logits)

        def right(rows: slice) -> tuple[Tensor, Tensor]:
            return winning_range(logits[rows] + mask, finite, target[rows].to(logits.device))

        scores = scores_over(grid, right, target, data.stats)
        self.strength.fill_(best_on_plateau(grid, scores))
        self.chosen.fill_(True)
        borrowed = int((torch.bincount(target.cpu(), minlength=len(mask)) == 0).sum())
        if borrowed:
            self._notes = (
                f"tau chosen with {borrowed} classes that have no validation rows: "
                "they borrow the recall of their shot group",
            )

    def on_transform(self, outputs: Outputs) -> Tensor:
        z = outputs.logits
        masked = torch.isneginf(self.log_prior)
        offset = torch.where(masked, -torch.inf, -self.strength * self.log_prior)
        return z + offset.to(z)

    def effective_prior(self, prior: Tensor) -> Tensor:
        """``prior * trained^-tau``, normalised."""
        self.ready()
        prior, trained = vector("the prior", prior, self.num_classes()), self.log_prior.cpu()
        moved = self.strength.cpu() * torch.where(torch.isneginf(trained), 0.0, trained)
        return (prior.log() - moved).softmax(0)
