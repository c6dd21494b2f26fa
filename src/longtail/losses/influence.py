"""A loss that takes weight off the rows that shape the decision boundary most."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from longtail.errors import DataError
from longtail.functional.guided import influence_balanced, influence_balanced_classes
from longtail.functional.losses import cross_entropy, cross_entropy_classes
from longtail.losses.base import Counts, Loss, WeightLike, check_number
from longtail.schedules import check_switch

__all__ = ["InfluenceBalanced"]


class InfluenceBalanced(Loss):
    """``alpha / (|p - onehot(y)|_1 |h|_1 + epsilon) * -log p_y``, after cross-entropy at first.

    The denominator is the influence of a row on the last layer. Until ``after`` of the stage the
    loss is plain cross-entropy. The class weights of the paper are
    ``weight=Deferred(InverseFrequency(), after=after)``. With ``gamma`` the focal modulator
    ``(1 - p_y)^gamma`` stands beside it, of the true ``p_y``: class weights do not enter it, as
    they do in the published code.

    Shapes: ``(N, C)`` logits, ``(N, D)`` features: ``loss(logits, target, features=h)``.

    Args:
        alpha: factor. The published 1000 goes with a learning rate cut to 1 % at the switch.
        epsilon: keeps the weight finite.
        after: fraction of the stage that is cross-entropy; the switch falls on the first step of
            an epoch.
        gamma: exponent of the focal modulator; 0 has none.
        detach_weight: no gradient through the weight, as the paper has it; ``False`` is the
            published code.
        weight: class weights: a part, or ``(C,)`` numbers.
        reduction: ``mean``, ``weighted_mean``, ``sum`` or ``none``; see :class:`Loss`.
        ignore_index: label of samples that do not count.
        class_counts: training counts; only parts in ``weight`` need them.

    Raises:
        DataError: no features were given, or not one row for each row of logits.

    Reference: Park et al., *Influence-balanced loss for imbalanced visual classification*,
    ICCV 2021.
    """

    def __init__(
        self,
        alpha: float = 1000.0,
        epsilon: float = 1e-3,
        after: float = 0.5,
        *,
        gamma: float = 0.0,
        detach_weight: bool = True,
        weight: WeightLike = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        class_counts: Counts = None,
    ) -> None:
        self.alpha = check_number("alpha", alpha, low=0, above=True)
        self.epsilon = check_number("epsilon", epsilon, low=0, above=True)
        self.gamma = check_number("gamma", gamma, low=0)
        self.after = check_switch("after", after)
        self.detach_weight = detach_weight
        super().__init__(
            weight=weight,
            reduction=reduction,
            ignore_index=ignore_index,
            class_counts=class_counts,
        )

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        later = influence_balanced(logits, target, self._rows_of(logits), **self._options())
        return torch.where(self._begun(logits), later, cross_entropy(logits, target))

    def per_class(self, logits: Tensor) -> Tensor:
        later = influence_balanced_classes(logits, self._rows_of(logits), **self._options())
        return torch.where(self._begun(logits), later, cross_entropy_classes(logits))

    def _options(self) -> dict[str, Any]:
        names = ("alpha", "epsilon", "gamma", "detach_weight")
        return {name: getattr(self, name) for name in names}

    def _rows_of(self, logits: Tensor) -> Tensor:
        h = self.features()
        if h.ndim != 2 or len(h) != len(logits):
            raise DataError(
                f"features of shape {tuple(h.shape)} do not fit {len(logits)} rows of logits",
                "give the input of the head, one row for each row of logits",
            )
        return h

    def _begun(self, logits: Tensor) -> Tensor:
        start = math.floor(self.after * self.progress.epochs + 1e-9)
        return (self.progress.epoch >= start).to(logits.device)
