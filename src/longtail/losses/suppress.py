"""Losses that spare rare classes the negative gradients of frequent ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from longtail.checks import is_finite
from longtail.errors import ConfigError, UnknownNameError
from longtail.functional import suppress as rows
from longtail.functional.binary import binary_cross_entropy, binary_cross_entropy_classes
from longtail.losses.base import Counts, Loss, WeightLike, check_number
from longtail.types import ClassStats

__all__ = ["AdaptiveSuppression", "Equalization", "Seesaw"]


class Equalization(Loss):
    """Rare classes that are not the label leave the loss with probability ``gamma``.

    ``softmax``: ``log sum_j w_j exp z_j - z_y``; ``sigmoid``: ``sum_j w_j BCE(z_j, 1[j = y])``;
    ``w_j = 1 - b 1[prior_j < threshold] 1[j != y]`` with ``b ~ Bernoulli(gamma)``, one for each
    row and class. In eval mode ``b`` is its mean ``gamma``.

    Args:
        threshold: share of the training data under which a class is rare; ``None`` is half an
            even share, ``1 / (2 C)`` (published: 0.005 for 100 classes, 0.00043 for 1000).
        gamma: probability; the published sigmoid form has 1.
        form: ``softmax`` or ``sigmoid``.
        weight: class weights: a part, or ``(C,)`` numbers.
        reduction: ``mean``, ``weighted_mean``, ``sum`` or ``none``; see :class:`Loss`.
        ignore_index: label of samples that do not count.
        class_counts: training counts; absent, :meth:`bind` brings them.

    Reference: Tan et al., CVPR 2020.
    """

    needs_stats = True
    noisy = True
    rare: Tensor

    def __init__(
        self,
        threshold: float | None = None,
        gamma: float = 0.9,
        *,
        form: str = "softmax",
        weight: WeightLike = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        class_counts: Counts = None,
    ) -> None:
        if threshold is not None and not (is_finite(threshold) and 0 < threshold <= 1):
            raise ConfigError(
                f"threshold must lie in (0, 1], not {threshold}",
                "it is a share of the training data; None is half an even share",
            )
        if not is_finite(gamma) or not 0 <= gamma <= 1:
            raise ConfigError(f"gamma must lie in [0, 1], not {gamma}", "0.9 is usual")
        if form not in ("softmax", "sigmoid"):
            raise UnknownNameError("form of the equalization loss", form, ("softmax", "sigmoid"))
        self.threshold = threshold
        self.gamma = gamma
        self.form = form
        super().__init__(
            weight=weight,
            reduction=reduction,
            ignore_index=ignore_index,
            class_counts=class_counts,
        )

    def on_bind(self, stats: ClassStats) -> None:
        """1 for a rare class, 0 for another."""
        least = 0.5 / stats.num_classes if self.threshold is None else self.threshold
        self.keep("rare", (stats.prior < least).to(torch.float64))

    def _kept(self, logits: Tensor) -> Tensor:
        """``w`` of classes that are not the label, ``(C,)`` or ``(B, C)``."""
        self.bound()
        if not self.training or self.gamma in (0, 1):
            return 1 - self.gamma * self.rare.to(logits.dtype)
        leaves = self.noise(logits) < self.gamma * self.rare.to(logits.dtype)
        return leaves.logical_not_().to(logits.dtype)

    def _log_kept(self, logits: Tensor) -> Tensor:
        kept = self._kept(logits)
        if kept.ndim == 1:
            return kept.log()
        return torch.zeros_like(kept).masked_fill_(kept == 0, -math.inf)

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.form == "sigmoid":
            return binary_cross_entropy(logits, target, weight=self._kept(logits))
        return rows.equalized(logits, target, self._log_kept(logits))

    def per_class(self, logits: Tensor) -> Tensor:
        if self.form == "sigmoid":
            return binary_cross_entropy_classes(logits, weight=self._kept(logits))
        return rows.equalized_classes(logits, self._log_kept(logits))


class AdaptiveSuppression(Loss):
    """``sum_j w_j BCE(z_j, 1[j = y])``: other classes count only where they are confident.

    ``w_j = 1`` for the label and where ``sigmoid(z_j) >= threshold``, else 0. No class counts
    enter.

    Args:
        threshold: confidence from which a class that is not the label is pushed down.
        weight: class weights: a part, or ``(C,)`` numbers.
        reduction: ``mean``, ``weighted_mean``, ``sum`` or ``none``; see :class:`Loss`.
        ignore_index: label of samples that do not count.
        class_counts: training counts; only parts in ``weight`` need them.

    Reference: Wang et al., *Adaptive class suppression loss for long-tail object detection*,
    CVPR 2021.
    """

    def __init__(
        self,
        threshold: float = 0.7,
        *,
        weight: WeightLike = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        class_counts: Counts = None,
    ) -> None:
        if not is_finite(threshold) or not 0 < threshold < 1:
            raise ConfigError(f"threshold must lie in (0, 1), not {threshold}", "0.7 is usual")
        self.threshold = threshold
        super().__init__(
            weight=weight,
            reduction=reduction,
            ignore_index=ignore_index,
            class_counts=class_counts,
        )

    @property
    def least(self) -> float:
        """The logit at the threshold."""
        return math.log(self.threshold / (1 - self.threshold))

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy(logits, target, least=self.least)

    def per_class(self, logits: Tensor) -> Tensor:
        return binary_cross_entropy_classes(logits, least=self.least)


class Seesaw(Loss):
    """Cross-entropy of ``z_j + log S_j``: gradients of rarer and of well-told classes shrink.

    ``S_j = min(1, N_j / N_y)^p max(1, p_j / max(p_y, floor))^q`` for ``j != y``, and 1 at the
    label; no gradient flows through ``S``.

    Args:
        p: exponent of mitigation.
        q: exponent of compensation.
        floor: least probability of the label in the ratio.
        counts: ``preset``: the training counts; ``online``: the labels met in training so far,
            from one up, kept in a buffer, and those of the batch at hand, as in published code.
            A micro-batch or rank sees the labels of its own rows at once and those of the others
            from the next step on; a mixed row counts for both its labels.
        weight: class weights: a part, or ``(C,)`` numbers.
        reduction: ``mean``, ``weighted_mean``, ``sum`` or ``none``; see :class:`Loss`.
        ignore_index: label of samples that do not count.
        class_counts: training counts; absent, :meth:`bind` brings them.

    Soft targets cost ``C`` times as much as labels: the factors depend on the label.

    Reference: Wang et al., CVPR 2021.
    """

    needs_stats = True
    samples: Tensor

    def __init__(
        self,
        p: float = 0.8,
        q: float = 2.0,
        floor: float = 0.01,
        counts: str = "preset",
        *,
        weight: WeightLike = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        class_counts: Counts = None,
    ) -> None:
        self.p = check_number("p", p, low=0)
        self.q = check_number("q", q, low=0)
        if not is_finite(floor) or not 0 < floor <= 1:
            raise ConfigError(f"floor must lie in (0, 1], not {floor}", "0.01 is usual")
        if counts not in ("preset", "online"):
            raise UnknownNameError("way of counting", counts, ("preset", "online"))
        self.floor, self.counts = floor, counts
        super().__init__(
            weight=weight,
            reduction=reduction,
            ignore_index=ignore_index,
            class_counts=class_counts,
        )
        self.stateful = counts == "online"

    def on_bind(self, stats: ClassStats) -> None:
        """The training counts, or zeros to count from."""
        counts = stats.counts if self.counts == "preset" else torch.zeros_like(stats.counts)
        self.keep("samples", counts.clone())
        self._own: Tensor | None = None

    def fold(self, found: dict[str, Tensor]) -> None:
        """Add the labels of the step."""
        self.samples += found["samples"].to(self.samples.dtype)

    def _hard(self, z: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.counts == "online":
            valid = target != self.ignore_index
            label = torch.where(valid, target, 0).long()
            self._count(torch.zeros_like(z[0]).index_add(0, label, valid.to(z.dtype)))
        return super()._hard(z, target, weight)

    def _soft(self, z: Tensor, q: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.counts == "online":
            self._count(q.to(z.dtype).sum(0))
        return super()._soft(z, q, weight)

    def _count(self, samples: Tensor) -> None:
        self.bound()
        self._own = samples.detach() if self.training else None
        self.tell(samples=samples)

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        self.bound()
        counts = self.samples
        if self._own is not None:
            counts = counts + self._own.to(counts.dtype)
        return rows.seesaw(logits, target, counts, p=self.p, q=self.q, floor=self.floor)
