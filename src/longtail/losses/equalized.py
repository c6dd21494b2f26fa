"""A one-vs-rest loss that evens out what a class gets from its own rows and from the others."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.functional.guided import equalized_bce, equalized_bce_classes, equalizing_weights
from longtail.losses.base import Counts, Loss, WeightLike, check_number
from longtail.types import ClassStats

__all__ = ["EqualizedV2"]


class EqualizedV2(Loss):
    """``sum_j w_j BCE(sigmoid(z_j), 1[j = y])``, the weights guided by accumulated gradients.

    Class ``j`` remembers ``g+_j`` and ``g-_j``, the sums over all rows so far of
    ``w |sigmoid(z_j) - 1[j = y]|`` as label and as other class. With ``rho = g+ / g-`` (100 before
    the first step) negatives weigh ``f(rho) = 1 / (1 + exp(-gamma (rho - mu)))`` and positives
    ``1 + alpha (1 - f(rho))``: what drowns in negatives hears fewer of them and more of its own.

    In training mode the sums follow each call (in the engine each step, over micro-batches and
    ranks), with the weights that the call used; in eval mode nothing moves. Predict with the
    logits; ``sigmoid(z)`` are the scores.

    A target of probabilities ``q`` has the loss ``sum_j q_j w+_j softplus(-z_j) + (1 - q_j) w-_j
    softplus(z_j)``: several labels a row, or none, are fine as long as no class weights are given.

    Shapes: ``(N, C)`` logits; buffers ``(C,)``.

    Args:
        gamma: steepness of ``f``.
        mu: ratio at which negatives count half.
        alpha: how much positives gain.
        weight: class weights: a part, or ``(C,)`` numbers (outside of the accumulated sums).
        reduction: ``mean``, ``weighted_mean``, ``sum`` or ``none``; see :class:`Loss`.
        ignore_index: label of samples that do not count.
        class_counts: training counts (their number is ``C``; a masked class has no negatives).

    Reference: Tan et al., *Equalization loss v2: a new gradient balance approach for long-tailed
    object detection*, CVPR 2021.
    """

    needs_stats = True
    stateful = True
    positive: Tensor
    negative: Tensor
    present: Tensor

    def __init__(
        self,
        gamma: float = 12.0,
        mu: float = 0.8,
        alpha: float = 4.0,
        *,
        weight: WeightLike = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        class_counts: Counts = None,
    ) -> None:
        self.gamma = check_number("gamma", gamma, low=0, above=True)
        self.mu = check_number("mu", mu)
        self.alpha = check_number("alpha", alpha, low=0)
        super().__init__(
            weight=weight,
            reduction=reduction,
            ignore_index=ignore_index,
            class_counts=class_counts,
        )

    def on_bind(self, stats: ClassStats) -> None:
        """Nothing has been seen."""
        self.keep("positive", torch.zeros_like(stats.counts))
        self.keep("negative", torch.zeros_like(stats.counts))
        self.keep("present", stats.present.to(torch.float64))

    def ratio(self) -> Tensor:
        """``(C,)`` float64 ``g+ / (g- + 1e-10)``; 100 before anything was seen."""
        self.bound()
        fresh = self.positive.sum() + self.negative.sum() == 0
        return torch.where(fresh, 100.0, self.positive / (self.negative + 1e-10))

    def weights(self) -> tuple[Tensor, Tensor]:
        """``(C,)`` weights of negatives and of positives at this moment."""
        negative, positive = equalizing_weights(
            self.ratio(), gamma=self.gamma, mu=self.mu, alpha=self.alpha
        )
        return negative * self.present, positive

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        negative, positive = self.weights()
        if self.training:
            self._watch_labels(logits.detach(), target, negative, positive)
        return equalized_bce(logits, target, negative, positive)

    def per_class(self, logits: Tensor) -> Tensor:
        return equalized_bce_classes(logits, *self.weights())

    def _soft(self, z: Tensor, q: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        negative, positive = self.weights()
        q = q.to(z.dtype)
        if self.training:
            mass, said = self.mass(z)[:, None], torch.sigmoid(z.detach())
            own = (mass * q * torch.sigmoid(-z.detach())).sum(0)
            other = (mass * (1 - q) * said).sum(0)
            self.tell(positive=positive * own, negative=negative * other)
        if weight is not None:
            return super()._soft(z, q, weight)
        own_rows = q * positive.to(z.dtype) * F.softplus(-z)
        rows = (own_rows + (1 - q) * negative.to(z.dtype) * F.softplus(z)).sum(1)
        return rows, torch.ones_like(rows)

    def _watch_labels(self, z: Tensor, target: Tensor, negative: Tensor, positive: Tensor) -> None:
        """Add up weighted gradients of the logits, apart for labels and for other classes."""
        mass, label = self.mass(z), target[:, None]
        wrong = torch.sigmoid(-z.gather(1, label))[:, 0] * mass
        own = torch.zeros_like(positive).index_add_(0, target, wrong.to(positive.dtype))
        other = mass @ torch.sigmoid(z).scatter_(1, label, 0.0)
        self.tell(positive=positive * own, negative=negative * other)

    def fold(self, found: dict[str, Tensor]) -> None:
        """Add what was seen."""
        self.positive.add_(found["positive"])
        self.negative.add_(found["negative"])
