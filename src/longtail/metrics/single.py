"""One number a metric, for a loop of one's own: ``update`` batches, then ``compute``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from longtail.checks import check_whole
from longtail.errors import UnboundPartError
from longtail.metrics.accumulator import Accumulator
from longtail.types import ClassStats

__all__ = [
    "ECE",
    "NLL",
    "Accuracy",
    "BalancedAccuracy",
    "Brier",
    "Few",
    "Many",
    "Medium",
    "Metric",
    "WorstRecall",
]


class Metric:
    """A number from an :class:`Accumulator`; several metrics share one: use it directly then.

    Args:
        class_counts: training counts, for the number of classes and the shot groups.
        bins: confidence bins.
        device: where the sums live.
        input: ``logits`` or ``proba``.

    Example:
        >>> metric = BalancedAccuracy(class_counts=[90, 9, 1])
        >>> metric.update(torch.eye(3), torch.tensor([0, 1, 1]))
        >>> metric.compute()
        0.75
    """

    key: ClassVar[str] = ""

    def __init__(
        self,
        *,
        class_counts: Sequence[float] | Tensor | ClassStats | None = None,
        bins: int = 15,
        device: Any = None,
        input: str = "logits",
    ) -> None:
        check_whole("bins", bins)
        self.bins, self.device, self.input = bins, device, input
        self.stats: ClassStats | None = None
        self.sums: Accumulator | None = None
        if class_counts is not None:
            known = isinstance(class_counts, ClassStats)
            self.bind(class_counts if known else ClassStats(class_counts))  # type: ignore[arg-type]

    def bind(self, stats: ClassStats) -> Metric:
        """Take the statistics of the training data, and start afresh."""
        self.stats = stats
        self.sums = Accumulator(stats.num_classes, self.bins, self.device, input=self.input)
        return self

    def update(self, scores: Tensor, target: Tensor) -> None:
        """Count a batch: ``(B, C)`` scores and ``(B,)`` labels."""
        self._bound()[0].update(scores, target)

    def compute(self) -> float | None:
        """The metric of all rows since the last reset; ``None`` where it has no value."""
        sums, stats = self._bound()
        value: float | None = sums.compute(stats, worst=1)[self.key]
        return value

    def reset(self) -> None:
        """Forget all rows."""
        self._bound()[0].reset()

    def _bound(self) -> tuple[Accumulator, ClassStats]:
        if self.sums is None or self.stats is None:
            raise UnboundPartError(type(self).__name__)
        return self.sums, self.stats

    def __repr__(self) -> str:
        return f"{type(self).__name__}(bins={self.bins}, input={self.input!r})"


class Accuracy(Metric):
    """Share of right rows."""

    key = "accuracy"


class BalancedAccuracy(Metric):
    """Mean recall over the classes that have test rows."""

    key = "balanced_accuracy"


class Many(Metric):
    """Mean recall of the classes with many training samples."""

    key = "many"


class Medium(Metric):
    """Mean recall of the classes between many and few."""

    key = "medium"


class Few(Metric):
    """Mean recall of the classes with few training samples."""

    key = "few"


class ECE(Metric):
    """Expected calibration error of the top label, right-closed bins of equal width.

    Reference: Guo et al., ICML 2017.
    """

    key = "ece"


class NLL(Metric):
    """Mean negative log-likelihood, in nats."""

    key = "nll"


class Brier(Metric):
    """Mean squared error of the probabilities, summed over classes (0 to 2).

    Reference: Brier, Monthly Weather Review 1950.
    """

    key = "brier"


class WorstRecall(Metric):
    """Lowest recall of any class that has test rows."""

    key = "worst"

    def compute(self) -> float | None:
        """The lowest recall; ``None`` without rows."""
        sums, stats = self._bound()
        worst = sums.compute(stats, worst=1)["worst"]
        return float(worst[0]["recall"]) if worst else None
