"""Cross-entropy of ``z + a``: plain, balanced softmax and logit adjustment."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.checks import is_finite
from longtail.errors import ConfigError
from longtail.functional.losses import cross_entropy, cross_entropy_classes
from longtail.functional.precision import widen
from longtail.losses.base import Counts, Loss, WeightLike, check_number
from longtail.types import ClassStats

__all__ = ["BalancedSoftmax", "CrossEntropy", "LogitAdjusted"]


class CrossEntropy(Loss):
    """``-log softmax(z)_y``; with class weights the weighted cross-entropy.

    The same numbers and, for class ids without sample weights, the same single call as
    ``torch.nn.functional.cross_entropy``.

    Args:
        weight: class weights: a part such as ``InverseFrequency()``, or ``(C,)`` numbers.
        reduction: ``mean``, ``weighted_mean``, ``sum`` or ``none``; see :class:`Loss`.
        ignore_index: label of samples that do not count.
        label_smoothing: ``s`` of the target ``(1 - s) onehot(y) + s / C``.
        class_counts: training counts; only parts in ``weight`` need them.
    """

    def __init__(
        self,
        *,
        weight: WeightLike = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        class_counts: Counts = None,
    ) -> None:
        if not is_finite(label_smoothing) or not 0 <= label_smoothing < 1:
            raise ConfigError(
                f"label_smoothing must lie in [0, 1), not {label_smoothing}", "0.1 is usual"
            )
        self.label_smoothing = label_smoothing
        super().__init__(
            weight=weight,
            reduction=reduction,
            ignore_index=ignore_index,
            class_counts=class_counts,
        )

    def offset(self) -> Tensor | None:
        """``(C,)`` constants added to the logits, ``-inf`` for a masked class; or ``None``."""
        return None

    def prior_offset(self) -> Tensor | None:
        """The offsets; ``None`` with label smoothing, under which the softmax is no posterior."""
        if self.label_smoothing > 0:
            return None
        offset = self.offset()
        return torch.zeros_like(self.bound().counts) if offset is None else offset

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(logits, target, offset=self.offset())

    def per_class(self, logits: Tensor) -> Tensor:
        return cross_entropy_classes(logits, offset=self.offset())

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        *,
        features: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        weight = self.class_weight()
        if sample_weight is None and self._is_fast(logits, target):
            if self.reduction == "mean" and weight is not None:  # torch divides by weights there
                total, rows = self.sums(logits, target)
                return total / rows
            reduction = "mean" if self.reduction == "weighted_mean" else self.reduction
            return self._fast(logits, target, weight, reduction)
        return super().forward(logits, target, features=features, sample_weight=sample_weight)

    def sums(
        self,
        logits: Tensor,
        target: Tensor,
        *,
        features: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        weight = self.class_weight()
        native = self.reduction != "weighted_mean" or weight is None
        if sample_weight is None and native and self._is_fast(logits, target):
            total = self._fast(logits, target, weight, "sum")
            if self.reduction == "sum":
                return total, torch.ones_like(total)
            return total, (target != self.ignore_index).sum().to(total.dtype)
        return super().sums(logits, target, features=features, sample_weight=sample_weight)

    def _is_fast(self, logits: Tensor, target: Tensor) -> bool:
        """One call of ``torch`` says it all, and fastest: class ids, no masked class to smooth
        over, no offset (but when smoothing)."""
        soft = self.check(logits, target)
        if self.label_smoothing:
            return not soft and not self._masked
        return not soft and self.offset() is None

    def _fast(
        self, logits: Tensor, target: Tensor, weight: Tensor | None, reduction: str
    ) -> Tensor:
        kind = logits.device.type
        if torch.is_autocast_enabled(kind):
            with torch.autocast(kind, enabled=False):
                return self._torch(logits, target, weight, reduction)
        return self._torch(logits, target, weight, reduction)

    def _torch(
        self, logits: Tensor, target: Tensor, weight: Tensor | None, reduction: str
    ) -> Tensor:
        z = widen(logits)
        offset = self.offset()
        if offset is not None:
            z = z + offset.to(z.dtype).reshape(-1, *[1] * (z.ndim - 2))
        try:
            return F.cross_entropy(
                z,
                target.long(),
                weight=None if weight is None else weight.to(z.dtype),
                ignore_index=self.ignore_index,
                reduction=reduction,
                label_smoothing=self.label_smoothing,
            )
        except (IndexError, RuntimeError) as error:
            self._explain(error, z.shape[1])

    def _hard(self, z: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        rows, base = super()._hard(z, target, weight)
        if not self.label_smoothing:
            return rows, base
        even, _ = self._every(z, weight)
        even = torch.where(target != self.ignore_index, even, 0.0)
        return (1 - self.label_smoothing) * rows + self.label_smoothing * even, base

    def _soft(self, z: Tensor, q: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        rows, base = super()._soft(z, q, weight)
        if not self.label_smoothing:
            return rows, base
        even, even_base = self._every(z, weight)
        if self.reduction == "weighted_mean":
            base = (1 - self.label_smoothing) * base + self.label_smoothing * even_base
        return (1 - self.label_smoothing) * rows + self.label_smoothing * even, base

    def _every(self, z: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        """The loss of the target that is even over the classes that are not masked."""
        even = torch.ones_like(z[0])
        if self._masked:
            even = self.bound().present.to(z.device, z.dtype)
        return super()._soft(z, (even / even.sum()).expand_as(z), weight)


class BalancedSoftmax(CrossEntropy):
    """``-log softmax(z + log n)_y``: cross-entropy under the training prior.

    Arguments as for :class:`CrossEntropy`; class counts are needed.

    Reference: Ren et al., *Balanced meta-softmax for long-tailed visual recognition*,
    NeurIPS 2020.
    """

    needs_stats = True
    log_prior: Tensor

    def on_bind(self, stats: ClassStats) -> None:
        self.keep("log_prior", stats.log_prior)

    def offset(self) -> Tensor | None:
        self.bound()
        return self.log_prior


class LogitAdjusted(BalancedSoftmax):
    """``-log softmax(z + tau log prior)_y``.

    Args:
        tau: strength; 1 is the balanced softmax, 0 cross-entropy.
        weight: class weights: a part, or ``(C,)`` numbers.
        reduction: ``mean``, ``weighted_mean``, ``sum`` or ``none``; see :class:`Loss`.
        ignore_index: label of samples that do not count.
        label_smoothing: ``s`` of the target ``(1 - s) onehot(y) + s / C``.
        class_counts: training counts; absent, :meth:`bind` brings them.

    Reference: Menon et al., *Long-tail learning via logit adjustment*, ICLR 2021.
    """

    def __init__(
        self,
        tau: float = 1.0,
        *,
        weight: WeightLike = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        class_counts: Counts = None,
    ) -> None:
        self.tau = check_number("tau", tau, low=0)
        super().__init__(
            weight=weight,
            reduction=reduction,
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            class_counts=class_counts,
        )

    def on_bind(self, stats: ClassStats) -> None:
        adjusted = torch.where(stats.present, self.tau * stats.log_prior, -math.inf)
        self.keep("log_prior", adjusted)
