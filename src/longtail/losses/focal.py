"""Losses that weigh a sample by how hard it is."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.errors import UnknownNameError
from longtail.functional import losses as rows
from longtail.losses.base import Counts, Loss, WeightLike, check_number

__all__ = ["BceOnSoftmax", "Focal"]


class Focal(Loss):
    """``(1 - p_y) ** gamma * -log p_y``; class weights stand outside of the modulator.

    Args:
        gamma: not negative; 0 is cross-entropy.
        detach_modulator: no gradient through ``(1 - p_y) ** gamma``.
        form: ``softmax``, or ``sigmoid``: one binary focal loss a class, summed over classes.
        weight: class weights: a part, or ``(C,)`` numbers. With ``EffectiveNumber()`` this is
            the class-balanced focal loss.
        reduction: ``mean``, ``weighted_mean``, ``sum`` or ``none``; see :class:`Loss`.
        ignore_index: label of samples that do not count.
        class_counts: training counts; only parts in ``weight`` need them.

    Reference: Lin et al., *Focal loss for dense object detection*, ICCV 2017.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        *,
        detach_modulator: bool = False,
        form: str = "softmax",
        weight: WeightLike = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        class_counts: Counts = None,
    ) -> None:
        check_number("gamma", gamma, low=0)
        if form not in ("softmax", "sigmoid"):
            raise UnknownNameError("form of the focal loss", form, ("softmax", "sigmoid"))
        super().__init__(
            weight=weight,
            reduction=reduction,
            ignore_index=ignore_index,
            class_counts=class_counts,
        )
        self.gamma = gamma
        self.detach_modulator = detach_modulator
        self.form = form

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        loss = rows.focal if self.form == "softmax" else rows.sigmoid_focal
        return loss(logits, target, gamma=self.gamma, detach_modulator=self.detach_modulator)

    def per_class(self, logits: Tensor) -> Tensor:
        softmax = self.form == "softmax"
        loss = rows.focal_classes if softmax else rows.sigmoid_focal_classes
        return loss(logits, gamma=self.gamma, detach_modulator=self.detach_modulator)

    def prior_offset(self) -> Tensor | None:
        """Zeros where the loss is cross-entropy; a focal loss is not proper."""
        if self.gamma == 0 and self.form == "softmax":
            return torch.zeros_like(self.bound().counts)
        return None


class BceOnSoftmax(Loss):
    """``(-log p_y - sum_{j != y} log(1 - p_j)) / C`` with ``p = softmax(z)``.

    What the widely copied port of the class-balanced loss computes under the name "softmax";
    with ``weight=EffectiveNumber()`` it gives the numbers of that port. Arguments as for
    :class:`Loss`.
    """

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        return rows.bce_on_softmax(logits, target)

    def per_class(self, logits: Tensor) -> Tensor:
        return rows.bce_on_softmax_classes(logits)
