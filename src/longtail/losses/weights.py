"""Class weights as parts: ``weight()`` is the ``(C,)`` vector of this moment.

A weight is given to any loss as ``weight=``; it reads the clock of its loss, so that a deferred
weight switches by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from longtail.checks import is_finite
from longtail.errors import ConfigError
from longtail.functional.weights import effective_number, inverse_frequency
from longtail.schedules import check_switch
from longtail.types import ClassStats, Context, Part

__all__ = ["Deferred", "EffectiveNumber", "InverseFrequency", "Uniform", "Weight"]

Counts = Sequence[float] | Tensor | ClassStats | None


class Weight(Part):
    """Class weights of mean one, ``(C,)`` float64; a masked class has weight zero.

    A subclass overrides :meth:`compute`, and :meth:`forward` too where the weight varies in
    time.
    """

    needs_stats = True
    value: Tensor

    def compute(self, stats: ClassStats) -> Tensor:
        """The weights of these statistics, ``(C,)`` float64."""
        raise NotImplementedError

    def on_bind(self, stats: ClassStats) -> None:
        old = self._buffers.get("value")
        value = self.compute(stats)
        self.register_buffer("value", value if old is None else value.to(old.device))

    def refresh(self, ctx: Context) -> None:
        """Once an epoch, before its first step: measure what the weights follow."""

    def forward(self) -> Tensor:
        """``(C,)`` float64 weights at this moment."""
        self.bound()
        return self.value


class Uniform(Weight):
    """One for every class: plain training."""

    def __init__(self, *, class_counts: Counts = None) -> None:
        super().__init__()
        self.finish(class_counts)

    def compute(self, stats: ClassStats) -> Tensor:
        return stats.present.to(torch.float64)


class InverseFrequency(Weight):
    """``w_c ~ n_c ** -power``, of mean one.

    Args:
        power: 1 is inverse frequency, 1/2 its square root.
        class_counts: training counts; absent, :meth:`bind` brings them.
    """

    def __init__(self, power: float = 1.0, *, class_counts: Counts = None) -> None:
        super().__init__()
        if not is_finite(power):
            raise ConfigError(f"power must be finite, not {power}", "1.0 is inverse frequency")
        self.power = power
        self.finish(class_counts)

    def compute(self, stats: ClassStats) -> Tensor:
        return inverse_frequency(stats.counts, self.power)


class EffectiveNumber(Weight):
    """``w_c ~ (1 - beta) / (1 - beta ** n_c)``, of mean one.

    Args:
        beta: in ``[0, 1)``; 0 gives uniform weights, towards 1 inverse frequency.
        class_counts: training counts; absent, :meth:`bind` brings them.

    Reference: Cui et al., CVPR 2019.
    """

    def __init__(self, beta: float = 0.9999, *, class_counts: Counts = None) -> None:
        super().__init__()
        if not is_finite(beta) or not 0 <= beta < 1:
            raise ConfigError(f"beta must lie in [0, 1), not {beta}", "0.9999 is the usual value")
        self.beta = beta
        self.finish(class_counts)

    def compute(self, stats: ClassStats) -> Tensor:
        return effective_number(stats.counts, self.beta)


class Deferred(Weight):
    """Uniform weights until a fraction of the stage is done, then those of ``inner``.

    The switch falls on the first step of epoch ``int(after * epochs)`` (0-based), whatever the
    number of epochs.

    Args:
        inner: the weight that takes over.
        after: fraction of the stage in ``[0, 1)``.
        class_counts: training counts; absent, :meth:`bind` brings them.

    Reference: Cao et al., NeurIPS 2019 (deferred re-weighting).
    """

    def __init__(self, inner: Weight, after: float = 0.8, *, class_counts: Counts = None) -> None:
        super().__init__()
        if not isinstance(inner, Part):
            raise ConfigError(
                f"deferred needs a weight to defer, not {inner!r}",
                "for example Deferred(EffectiveNumber(beta=0.9999), after=0.8)",
            )
        self.inner = inner
        self.after = check_switch("after", after)
        self.attach(self.progress)
        self.finish(class_counts)

    def compute(self, stats: ClassStats) -> Tensor:
        return stats.present.to(torch.float64)

    def forward(self) -> Tensor:
        """``(C,)``: ones before the switch, the inner weight from then on."""
        self.bound()
        start = math.floor(self.after * self.progress.epochs + 1e-9)
        later = (self.progress.epoch >= start).to(self.value.device)
        return torch.where(later, self.inner(), self.value)
