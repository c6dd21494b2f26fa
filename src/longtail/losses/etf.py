"""Dot-regression: features are pulled to fixed directions, and nothing pushes them away."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.errors import UnknownNameError
from longtail.functional.heads import dot_regression, etf_lengths
from longtail.losses.base import Counts, Loss, WeightLike, check_number
from longtail.types import ClassStats

__all__ = ["DotRegression"]

LENGTHS = ("none", "batch", "counts")


class DotRegression(Loss):
    """``(m_y.h - |h|)^2 / (2 |h|)`` on a fixed simplex classifier of unit vectors ``m_c``.

    ``|h|`` carries no gradient. It reads the logits ``s m_c.h`` and, through ``features``, the
    ``h`` behind them. On features of length one (``neck``) it is ``(cos - 1)^2 / 2``. Its logits
    answer to no prior that a formula gives.

    Args:
        scale: ``s`` of the head, divided out.
        lengths: length ``l_c`` that a classifier vector is given in the loss (in the code of the
            authors ``GivenEw``), which multiplies it by ``l_y^2``: ``none``: one; ``counts``:
            ``sqrt(mean n / n_c)`` of the training counts; ``batch``: of the labels of the
            micro-batch at hand.
        reg: weight of ``|h|``, which bounds features that are not scaled to length one.
        weight: class weights: a part, or ``(C,)`` numbers.
        reduction: ``mean``, ``weighted_mean``, ``sum`` or ``none``; see :class:`Loss`.
        ignore_index: label of samples that do not count.
        class_counts: training counts, for ``lengths="counts"`` and parts in ``weight``.

    Reference: Yang et al., NeurIPS 2022.
    """

    scale: float
    cosines = False  # features may keep their length

    def __init__(
        self,
        scale: float = 1.0,
        *,
        lengths: str = "none",
        reg: float = 0.0,
        weight: WeightLike = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        class_counts: Counts = None,
    ) -> None:
        if lengths not in LENGTHS:
            raise UnknownNameError("length of classifier vectors", lengths, LENGTHS)
        self.scale = check_number("scale", scale, low=0, above=True)
        self.lengths, self.reg = lengths, check_number("reg", reg, low=0)
        self.needs_stats = lengths == "counts"
        self._batch: Tensor | None = None
        super().__init__(
            weight=weight,
            reduction=reduction,
            ignore_index=ignore_index,
            class_counts=class_counts,
        )

    def on_bind(self, stats: ClassStats) -> None:
        self.keep("given", etf_lengths(stats.counts))

    def per_class(self, logits: Tensor) -> Tensor:
        h = self.features().to(logits.dtype)
        length = h.norm(dim=1, keepdim=True)
        own = self._lengths(logits)
        losses = dot_regression(logits / self.scale, length, 1.0 if own is None else own)
        return losses + self.reg * length if self.reg else losses

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        length = self.features().to(logits.dtype).norm(dim=1)
        own = self._lengths(logits)
        dots = logits.gather(1, target[:, None])[:, 0] / self.scale
        losses = dot_regression(dots, length, 1.0 if own is None else own[target])
        return losses + self.reg * length if self.reg else losses

    def _lengths(self, logits: Tensor) -> Tensor | None:
        """``(C,)`` lengths of the classifier vectors, or ``None`` where all are one."""
        if self.lengths == "none":
            return None
        if self.lengths == "counts":
            self.bound()
            return self.given.to(logits)
        assert self._batch is not None
        return etf_lengths(self._batch).to(logits.dtype)

    given: Tensor

    def _hard(self, z: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.lengths == "batch":
            valid = target != self.ignore_index
            label = torch.where(valid, target, 0).long()
            self._batch = z.new_zeros(z.shape[1]).index_add_(0, label, valid.to(z.dtype))
        return super()._hard(z, target, weight)

    def _soft(self, z: Tensor, q: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        self._batch = q.to(z.dtype).sum(0)
        return super()._soft(z, q, weight)
