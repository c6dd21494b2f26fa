"""Cross-entropy with a smoothing of its own for each class."""

from __future__ import annotations

from torch import Tensor

from longtail.errors import UnknownNameError
from longtail.functional import smoothing
from longtail.losses.base import Counts, Loss, WeightLike
from longtail.types import ClassStats

__all__ = ["LabelAwareSmoothing"]

SPREADS = ("all", "others")


class LabelAwareSmoothing(Loss):
    """``(1 - e_y) l_y + e_y mean_j l_j``, ``l = -log softmax(z)``: common classes smoothed more.

    ``e_c`` runs from ``eps_tail`` at the smallest count to ``eps_head`` at the largest; equal
    counts are all smoothed by ``eps_head``.

    Args:
        eps_head: strength for the most common class, in ``[0, 1)``.
        eps_tail: strength for the rarest class, at most ``eps_head``.
        shape: how the strength grows with the count: ``concave``, ``linear``, ``convex`` or
            ``exp``; see :func:`longtail.functional.smoothing.smoothing_rates`.
        power: exponent of the shape ``exp``, and of no other.
        spread: ``all`` gives every class, ``y`` too, ``e_y / C`` (the published code); ``others``
            gives every class but ``y`` ``e_y / (C - 1)`` (the paper).
        weight: class weights: a part, or ``(C,)`` numbers.
        reduction: ``mean``, ``weighted_mean``, ``sum`` or ``none``; see :class:`Loss`.
        ignore_index: label of samples that do not count.
        class_counts: training counts; absent, :meth:`bind` brings them.

    Reference: Zhong et al., *Improving calibration for long-tailed recognition*, CVPR 2021.
    """

    needs_stats = True
    rates: Tensor
    known: Tensor

    def __init__(
        self,
        eps_head: float = 0.3,
        eps_tail: float = 0.0,
        *,
        shape: str = "concave",
        power: float | None = None,
        spread: str = "all",
        weight: WeightLike = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        class_counts: Counts = None,
    ) -> None:
        smoothing.check_rates(eps_head, eps_tail, shape, power)
        if spread not in SPREADS:
            raise UnknownNameError("spread of label-aware smoothing", spread, SPREADS)
        self.eps_head, self.eps_tail, self.shape, self.power = eps_head, eps_tail, shape, power
        self.spread = spread
        super().__init__(
            weight=weight,
            reduction=reduction,
            ignore_index=ignore_index,
            class_counts=class_counts,
        )

    def on_bind(self, stats: ClassStats) -> None:
        rates = smoothing.smoothing_rates(
            stats.counts,
            head=self.eps_head,
            tail=self.eps_tail,
            shape=self.shape,
            power=self.power,
            present=stats.present,
        )
        self.keep("rates", rates)
        self.keep("known", stats.present)

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        self.bound()
        return smoothing.label_aware_smoothing(
            logits, target, self.rates, spread=self.spread, present=self._known()
        )

    def per_class(self, logits: Tensor) -> Tensor:
        self.bound()
        return smoothing.label_aware_smoothing_classes(
            logits, self.rates, spread=self.spread, present=self._known()
        )

    def _known(self) -> Tensor | None:
        return self.known if self._masked else None
