"""The tau-normalised classifier."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from longtail.errors import ConfigError
from longtail.functional.precision import widen
from longtail.posthoc.base import FitData, Tuned
from longtail.posthoc.checks import check_rows
from longtail.posthoc.choice import best_on_plateau, scores_over, tau_grid, winning_power
from longtail.types import Outputs

__all__ = ["TauNorm"]


class TauNorm(Tuned):
    """``z_c = w_c . h / |w_c|^tau``: the head's rows rescaled, its bias dropped.

    Args:
        tau: 0 keeps the weights, 1 makes them unit vectors; ``None``: chosen on validation data
            over 0, 0.1, ..., 2 (1 without).
        class_counts: training counts (not needed).

    Raises:
        ConfigError: a model without one linear head, or a class with a zero weight row.

    Reference: Kang et al., ICLR 2020.
    """

    weight: Tensor

    def __init__(self, tau: float | None = 1.0, *, class_counts: Any = None) -> None:
        super().__init__(tau, "1 is the usual value")
        self.tau = tau
        self.register_buffer("weight", torch.zeros(0, 0))
        self.finish(class_counts)

    def on_fit(self, data: FitData) -> None:
        """Keep the normalised weights."""
        if data.head_weight is None:
            raise ConfigError(
                "tau_norm needs the weights of one linear head, and this model has none",
                "use a network with a single linear head, or another adjuster",
            )
        raw = data.head_weight.detach().double().cpu()
        if raw.ndim != 2 or len(raw) != data.stats.num_classes or not raw.isfinite().all():
            raise ConfigError(
                f"head weights {tuple(raw.shape)} are no finite (C, D) for "
                f"{data.stats.num_classes} classes",
                "give the weights of the model whose training counts these are",
            )
        norm = raw.norm(dim=1)
        zero = torch.nonzero(norm == 0).flatten().tolist()
        if zero:
            names = ", ".join(data.stats.names[c] for c in zero[:8])
            raise ConfigError(
                f"the head's weights of {len(zero)} classes are all zero: {names}",
                "a zero row cannot be normalised; train the head, or leave these classes out",
            )
        self._notes = ()
        self.chosen.fill_(False)
        if self.tau is None:
            self._choose(data, raw, norm)
        kept = raw / norm[:, None] ** self.strength.cpu()
        self.weight = kept.float().to(data.head_weight.device)

    def _choose(self, data: FitData, raw: Tensor, norm: Tensor) -> None:
        labelled = data.labelled
        if labelled is None:
            self.unchosen()
            return
        outputs, target = labelled
        grid = tau_grid()
        features = widen(outputs.features.detach()).cpu()
        _fit_together(features, raw)
        logits = features @ raw.to(features).T  # once for all tau
        check_rows(logits, "validation")
        logits += torch.where(data.stats.present, 0.0, -torch.inf).to(logits)
        log_norm = norm.log().to(logits)

        def right(rows: slice) -> tuple[Tensor, Tensor]:
            return winning_power(logits[rows], log_norm, target[rows].cpu())

        self.chosen.fill_(True)
        scores = scores_over(grid, right, target, data.stats)
        self.strength.fill_(best_on_plateau(grid, scores))

    def on_transform(self, outputs: Outputs) -> Tensor:
        """Logits ``(B, C)`` of the rescaled head."""
        features = widen(outputs.features)
        _fit_together(features, self.weight)
        return features @ self.weight.to(features).T

    untold = True

    def effective_prior(self, prior: Tensor) -> None:
        """Not expressible: how norms follow class counts is not known exactly."""


def _fit_together(features: Tensor, weight: Tensor) -> None:
    if features.shape[-1] != weight.shape[1]:
        raise ConfigError(
            f"tau_norm was fitted on {weight.shape[1]} features, not {features.shape[-1]}",
            "fit it on this model",
        )
