"""The general pairwise-margin loss, of which most margin losses are presets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from longtail.errors import ConfigError, DataError, UnknownNameError
from longtail.functional import pairwise
from longtail.functional.margins import ldam_margins
from longtail.losses.base import Counts, Loss, WeightLike, check_number
from longtail.types import ClassStats

__all__ = ["PRESETS", "PairwiseMargin"]

PRESETS = ("consistent", "la", "ldam", "equalization", "zero")


class PairwiseMargin(Loss):
    """``w_y log(1 + sum_{k != y} exp(z_k - z_y + D_yk))``: a weight a class, a margin a pair.

    The margins ``D``, where ``delta`` is

    - ``consistent``: ``log(w_k prior_k / (w_y prior_y))``, the one choice that goes with the
      class weights ``w`` so that the minimum has the least balanced error. Without weights it
      is logit adjustment, with inverse-frequency weights weighted cross-entropy;
    - ``la``: ``tau log(prior_k / prior_y)``;
    - ``ldam``: ``margin (n_y / n_min)^-1/4``, in units of the logits;
    - ``equalization``: ``tau log prior_k``, which spares rare classes as negatives;
    - ``zero``: none, weighted cross-entropy;
    - a ``(C, C)`` array: row ``y``, column ``k``, with a zero diagonal; ``-inf`` leaves a pair
      out.

    The presets need two vectors and no ``C x C`` matrix. :meth:`consistency_gap` says how far
    margins of one's own are from ``consistent``.

    Args:
        delta: a preset, or ``(C, C)`` margins.
        tau: strength of ``la`` and ``equalization``.
        margin: margin of the smallest class under ``ldam``.
        weight: class weights ``w``: a part, or ``(C,)`` numbers.
        reduction: ``mean``, ``weighted_mean``, ``sum`` or ``none``; see :class:`Loss`.
        ignore_index: label of samples that do not count.
        class_counts: training counts; absent, :meth:`bind` brings them.

    Shapes:
        Logits ``(B, C)``, margins ``(C, C)``.

    Raises:
        ConfigError: margins that are not square, not numbers, or not zero on the diagonal.
        DataError: margins of another number of classes.

    Reference: Menon et al., *Long-tail learning via logit adjustment*, ICLR 2021, section 5.2.
    """

    needs_stats = True
    columns: Tensor
    rows: Tensor
    log_prior: Tensor

    def __init__(
        self,
        delta: str | Tensor | Sequence[Sequence[float]] = "consistent",
        *,
        tau: float = 1.0,
        margin: float = 1.0,
        weight: WeightLike = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        class_counts: Counts = None,
    ) -> None:
        self.tau = check_number("tau", tau, low=0)
        self.margin = check_number("margin", margin, low=0)
        matrix = None if isinstance(delta, str) else _margins(delta)
        if isinstance(delta, str) and delta not in PRESETS:
            raise UnknownNameError("preset of margins", delta, PRESETS)
        self._preset = delta if isinstance(delta, str) else ""
        self._even = True
        super().__init__(weight=weight, reduction=reduction, ignore_index=ignore_index)
        if matrix is None:
            self.delta: str | Tensor = self._preset
        else:
            self.register_buffer("delta", matrix)
        self.finish(class_counts)

    def on_bind(self, stats: ClassStats) -> None:
        """The two vectors of the preset, ``-inf`` for a masked class."""
        if isinstance(self.delta, Tensor) and len(self.delta) != stats.num_classes:
            raise DataError(
                f"margins of {len(self.delta)} classes for {stats.num_classes} classes",
                "give one row and one column for each class",
            )
        zero = torch.zeros_like(stats.counts)
        finite = torch.where(stats.present, stats.log_prior, 0.0)
        scaled = self.tau * finite
        columns, rows = {
            "consistent": (finite, finite),
            "la": (scaled, scaled),
            "ldam": (zero, -ldam_margins(stats.counts, self.margin)),
            "equalization": (scaled, zero),
        }.get(self._preset, (zero, zero))
        masked = torch.where(stats.present, 0.0, -math.inf)
        self._even = rows is columns
        self.keep("log_prior", stats.log_prior)
        self.keep("columns", columns + masked)
        self.keep("rows", rows + masked)

    def margins(self) -> tuple[Tensor, Tensor]:
        """``(C,)`` columns and rows of this moment: ``D_yk = columns_k - rows_y``."""
        self.bound()
        if self._preset == "consistent":
            weight = self.class_weight()
            both = self.columns if weight is None else self.columns + weight.log()
            return both, both
        return self.columns, self.columns if self._even else self.rows

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        columns, rows = self.margins()
        if isinstance(self.delta, Tensor):
            masked = logits + columns.to(logits.dtype) if self._masked else logits
            return pairwise.pairwise_matrix(masked, target, self.delta)
        return pairwise.pairwise_additive(logits, target, columns=columns, rows=rows)

    def per_class(self, logits: Tensor) -> Tensor:
        columns, rows = self.margins()
        if isinstance(self.delta, Tensor):
            masked = logits + columns.to(logits.dtype) if self._masked else logits
            return pairwise.pairwise_matrix_classes(masked, self.delta)
        return pairwise.pairwise_additive_classes(logits, columns=columns, rows=rows)

    def prior_offset(self) -> Tensor | None:
        """``a`` where ``D_yk = a_k - a_y``; other margins are no cross-entropy of ``z + a``."""
        columns, rows = self.margins()
        if not isinstance(self.delta, Tensor):
            return columns if rows is columns else None
        own = self.delta[0].double()
        offset = torch.where(torch.isneginf(columns), -math.inf, own.to(columns.device))
        gap = self.delta - (own[None] - own[:, None])
        additive = bool(torch.isfinite(own).all()) and float(gap.abs().max()) < 1e-9
        return offset if additive else None

    def consistency_gap(self) -> float:
        """Largest distance of a margin from the consistent one; 0: consistent for the balanced
        error.
        """
        columns, rows = self.margins()
        weight = self.class_weight()
        weight = torch.ones_like(self.log_prior) if weight is None else weight
        shown = self.delta if isinstance(self.delta, Tensor) else columns
        return pairwise.consistency_gap(shown, rows, weight, self.log_prior)


def _margins(delta: Tensor | Sequence[Sequence[float]]) -> Tensor:
    """``(C, C)`` numbers with a zero diagonal."""
    try:
        matrix = torch.as_tensor(delta).detach().clone()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            "the pairwise margins are no array of numbers", f"give a preset: {', '.join(PRESETS)}"
        ) from error
    if matrix.is_complex():
        raise ConfigError("pairwise margins must be real numbers", "give (C, C) margins")
    matrix = matrix if matrix.is_floating_point() and matrix.itemsize >= 4 else matrix.double()
    if matrix.ndim != 2 or len(matrix) != matrix.shape[1] or len(matrix) < 2:
        raise ConfigError(
            f"pairwise margins must be (C, C), not {tuple(matrix.shape)}",
            "row y, column k: what class k gains on label y",
        )
    if bool(torch.isnan(matrix).any() | torch.isposinf(matrix).any()):
        raise ConfigError(
            "pairwise margins must be finite, or -inf to leave a pair out", "look for NaN and +inf"
        )
    own = torch.nonzero(matrix.diagonal()).flatten().tolist()
    if own:
        raise ConfigError(
            f"the diagonal of the pairwise margins must be zero; it is not at {own[:8]}",
            "a label has no margin against itself: set these entries to 0",
        )
    return matrix
