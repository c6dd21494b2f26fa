"""Losses with a margin that depends on the class."""

from __future__ import annotations

from torch import Tensor

from longtail.functional.losses import margin_cross_entropy, margin_cross_entropy_classes
from longtail.functional.margins import ldam_margins
from longtail.losses.base import Counts, Loss, WeightLike, check_number
from longtail.types import ClassStats

__all__ = ["LDAM"]


class LDAM(Loss):
    """``-log softmax(z - s m_y onehot(y))_y`` with ``m_c = margin (n_c / n_min) ** -1/4``.

    The logits are scaled cosines ``z = s cos`` (the head multiplies the scale in, and has no
    bias).

    Args:
        margin: margin of the smallest class, in units of the cosine.
        scale: the scale ``s`` of the head.
        weight: class weights: a part, or ``(C,)`` numbers; ``Deferred(EffectiveNumber())``
            makes LDAM-DRW (published with ``reduction="weighted_mean"``).
        reduction: ``mean``, ``weighted_mean``, ``sum`` or ``none``; see :class:`Loss`.
        ignore_index: label of samples that do not count.
        class_counts: training counts; absent, :meth:`bind` brings them.

    Reference: Cao et al., *Learning imbalanced datasets with label-distribution-aware margin
    loss*, NeurIPS 2019.
    """

    needs_stats = True
    margins: Tensor
    scale: float

    def __init__(
        self,
        margin: float = 0.5,
        scale: float = 30.0,
        *,
        weight: WeightLike = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        class_counts: Counts = None,
    ) -> None:
        self.margin = check_number("margin", margin, low=0)
        self.scale = check_number("scale", scale, low=0, above=True)
        super().__init__(
            weight=weight,
            reduction=reduction,
            ignore_index=ignore_index,
            class_counts=class_counts,
        )

    def on_bind(self, stats: ClassStats) -> None:
        """Margins in units of the logits, ``scale * m``."""
        self.keep("margins", self.scale * ldam_margins(stats.counts, self.margin))

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        self.bound()
        return margin_cross_entropy(logits, target, self.margins)

    def per_class(self, logits: Tensor) -> Tensor:
        self.bound()
        return margin_cross_entropy_classes(logits, self.margins)
