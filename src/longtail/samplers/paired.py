"""Samplers of two streams, and of a curriculum over the stage."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from longtail.checks import is_finite
from longtail.errors import ConfigError, UnknownNameError
from longtail.functional.curriculum import SCHEDULES, curriculum_exponent
from longtail.functional.orders import swapped
from longtail.functional.random import mix, shuffled, words
from longtail.samplers.base import Floats, Ints, Labels, Sampler
from longtail.samplers.checks import stage_epochs, stage_fraction
from longtail.samplers.independent import ClassDraw, power_marginal
from longtail.samplers.kernel import RowTable

__all__ = ["Bilateral", "Curriculum"]

_PASS = 2
UNITS = ("classes", "rows")


class Bilateral(Sampler):
    """Of every two draws one is of a uniform stream and one of a reversed: half of every batch.

    ``P_c = (U_c + R_c) / 2`` with the reversed ``R_c ~ n_max / n_c`` and a uniform stream that
    is uniform over classes, ``U_c = 1 / C``, or over rows, ``U_c = n_c / N``: then it walks
    through shuffled passes, each row once a pass, as plain training does. Which of the two comes
    first is a coin's choice for each pair, so that every process of any number sees both streams.

    Args:
        uniform: ``classes``, or ``rows`` as in the conventional branch of published code.
        labels: ``(N,)`` class ids.
        num_classes: ``C``.
        seed: of the draws.
        num_replicas: number of processes.
        rank: which of them this is.
        pad: repeat the first draws so that every process has equally many.

    Reference: after Zhou et al., *BBN: bilateral-branch network*, CVPR 2020.
    """

    def __init__(
        self,
        uniform: str = "classes",
        *,
        labels: Labels = None,
        num_classes: int | None = None,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
        pad: bool = False,
    ) -> None:
        if uniform not in UNITS:
            raise UnknownNameError("unit of the uniform stream", uniform, UNITS)
        self.uniform = uniform
        super().__init__(
            labels=labels,
            num_classes=num_classes,
            seed=seed,
            num_replicas=num_replicas,
            rank=rank,
            pad=pad,
        )

    in_parts = True

    def on_bind(self) -> None:
        self._reversed = RowTable(power_marginal(self.counts, -1.0), self.counts, self.starts)
        self._even = RowTable(self.even(), self.counts, self.starts)

    def is_reversed(self, index: Ints) -> NDArray[np.bool_]:
        """Whether the draws number ``index``, counted over all epochs, are of the reversed stream.

        Of draws ``2 q`` and ``2 q + 1`` one is; a coin of the pair's own says which, so that
        both streams come to every process and at every stride.
        """
        second: NDArray[np.bool_] = index % 2 == 1
        return np.logical_xor(second, swapped(index // 2, self.seed, "pair"))

    def rows(self, epoch: int, span: range) -> Ints:
        first = epoch * self.size
        span = range(span.start + first, span.stop + first, span.step)
        if span.step == 1:
            return self._all(span)
        if span.step % 2 == 0:
            return self._strided(span)
        out = np.empty(len(span), dtype=np.int64)
        for half in (0, 1):
            out[half::2] = self._strided(span[half::2])
        return out

    def _all(self, span: range) -> Ints:
        """Draws ``span``, counted over all epochs, of step 1."""
        pairs = range(span.start // 2, (span.stop + 1) // 2)
        number = np.arange(pairs.start, pairs.stop)
        second = swapped(number, self.seed, "pair")
        back, plain = self._drawn("reversed", pairs), self._plain(pairs, number)
        both = np.stack([np.where(second, back, plain), np.where(second, plain, back)], axis=1)
        return both.reshape(-1)[span.start % 2 :][: len(span)].copy()

    def _strided(self, span: range) -> Ints:
        """Draws ``span``, counted over all epochs, of an even step: one of a pair at most."""
        if not len(span):
            return np.empty(0, dtype=np.int64)
        pairs = range(span.start // 2, span[-1] // 2 + 1, span.step // 2)
        number = np.arange(pairs.start, pairs.stop, pairs.step)
        mine = self.is_reversed(2 * number + span.start % 2)
        out = self._drawn("reversed", pairs)
        out[~mine] = self._plain(pairs, number, ~mine)
        return out

    def _drawn(self, stream: str, pairs: range) -> Ints:
        """Independent draws of a stream for some pairs, a class by its share and a row of it."""
        table = self._reversed if stream == "reversed" else self._even
        return table.rows(self.order, int(words(self.seed, stream, n=1)[0]), pairs)

    def _plain(self, pairs: range, number: Ints, mine: NDArray[np.bool_] | None = None) -> Ints:
        """The uniform stream's rows for some pairs, or those of them that are ``mine``."""
        mine = np.ones(len(number), dtype=bool) if mine is None else mine
        if self.uniform == "classes":
            return self._drawn("even", pairs)[mine]
        turn, slot = np.divmod(number[mine], self.size)
        return np.asarray(shuffled(slot, self.size, mix(self.seed, _PASS, turn)), dtype=np.int64)

    def marginal(self, fraction: float) -> Floats:
        uniform = self.even() if self.uniform == "classes" else power_marginal(self.counts, 1.0)
        return (uniform + power_marginal(self.counts, -1.0)) / 2


class Curriculum(ClassDraw):
    """``P_c ~ n_c ** g`` with an exponent that falls over the stage: natural first, even last.

    ``g`` is that of :func:`~longtail.functional.curriculum.curriculum_exponent` at
    ``t = e / (T - 1)``, so that the last epoch is the end of the schedule.

    Args:
        schedule: ``linear``, ``convex``, ``concave`` or ``composite``.
        left: what a concave schedule has left of the exponent at the end.
        epochs: ``T``, epochs of the stage; absent, set the attribute before drawing.
        labels: ``(N,)`` class ids.
        num_classes: ``C``.
        seed: of the draws.
        num_replicas: number of processes.
        rank: which of them this is.
        pad: repeat the first draws so that every process has equally many.

    Reference: after Wang et al., *Dynamic curriculum learning for imbalanced data
    classification*, ICCV 2019.
    """

    def __init__(
        self,
        schedule: str = "composite",
        *,
        left: float = 0.01,
        epochs: int | None = None,
        labels: Labels = None,
        num_classes: int | None = None,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
        pad: bool = False,
    ) -> None:
        if schedule not in SCHEDULES:
            raise UnknownNameError("schedule of a curriculum", schedule, SCHEDULES)
        if not is_finite(left) or not 0 < left < 1:
            raise ConfigError(f"left must lie between 0 and 1, not {left}", "try left=0.01")
        self.schedule, self.left = schedule, left
        super().__init__(
            labels=labels,
            num_classes=num_classes,
            seed=seed,
            num_replicas=num_replicas,
            rank=rank,
            pad=pad,
        )
        self.epochs = None if epochs is None else stage_epochs("curriculum", epochs)

    def at(self, epoch: int) -> float:
        return stage_fraction(epoch, stage_epochs("curriculum", self.epochs))

    def marginal(self, fraction: float) -> Floats:
        done = torch.tensor(fraction, dtype=torch.float64)
        return power_marginal(
            self.counts, float(curriculum_exponent(done, self.schedule, left=self.left))
        )
