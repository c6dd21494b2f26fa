"""One sampler first, another from a fraction of the stage on."""

from __future__ import annotations

import math
from typing import Self

from longtail.errors import ConfigError
from longtail.samplers.base import Floats, Ints, Labels, Sampler
from longtail.samplers.checks import stage_epochs, stage_fraction
from longtail.samplers.independent import ClassBalanced
from longtail.samplers.passes import Instance
from longtail.schedules import check_switch

__all__ = ["Deferred"]


class Deferred(Sampler):
    """Every row once an epoch, until ``inner`` takes over (deferred re-sampling).

    The switch falls on epoch ``int(after * epochs)`` (0-based), whatever the number of epochs.

    Args:
        inner: the sampler that takes over; absent, class-balanced sampling (as published).
        after: fraction of the stage in ``[0, 1)``.
        epochs: epochs of the stage; absent, set the attribute before drawing.
        labels: ``(N,)`` class ids.
        num_classes: ``C``.
        seed: of the draws.
        num_replicas: number of processes.
        rank: which of them this is.
        pad: repeat the first draws so that every process has equally many.

    Reference: Cao et al., NeurIPS 2019 (DRS).
    """

    def __init__(
        self,
        inner: Sampler | None = None,
        after: float = 0.8,
        *,
        epochs: int | None = None,
        labels: Labels = None,
        num_classes: int | None = None,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
        pad: bool = False,
    ) -> None:
        if inner is not None and not isinstance(inner, Sampler):
            raise ConfigError(
                f"deferred needs a sampler to defer, not {inner!r}",
                "for example Deferred(ClassBalanced(), after=0.8)",
            )
        self.inner = inner
        self.after = check_switch("after", after)
        self._first, self._late = Instance(), ClassBalanced() if inner is None else inner
        super().__init__(
            labels=labels,
            num_classes=num_classes,
            seed=seed,
            num_replicas=num_replicas,
            rank=rank,
            pad=pad,
        )
        self.epochs = None if epochs is None else stage_epochs("deferred", epochs)

    def bind_labels(
        self, labels: Labels, num_classes: int | None = None, seed: int | None = None
    ) -> Self:
        super().bind_labels(labels, num_classes, seed)
        for each in (self._first, self._late):
            each.bind_labels(labels, self.num_classes, self.seed)
        return self

    def _at(self, epoch: int) -> Sampler:
        """The sampler of an epoch."""
        epochs = self._late.epochs = stage_epochs("deferred", self.epochs)
        late = epoch >= math.floor(self.after * epochs + 1e-9)
        return self._late if late else self._first

    def rows(self, epoch: int, span: range) -> Ints:
        return self._at(epoch).rows(epoch, span)

    def at(self, epoch: int) -> float:
        return 1.0 if self.epochs is None else stage_fraction(epoch, self.epochs)

    def slack(self, epoch: int, draws: int) -> Floats:
        return self._at(epoch).slack(epoch, draws)

    def marginal(self, fraction: float) -> Floats:
        """That of the sampler of the nearest epoch, at that sampler's own clock."""
        last = 0 if self.epochs is None else max(0, self.epochs - 1)
        epoch = round(fraction * last)
        inner = self._at(epoch)
        return inner.marginal(inner.at(epoch))
