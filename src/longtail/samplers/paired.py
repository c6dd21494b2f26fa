"""Samplers of two streams, and of a curriculum over the stage."""

from __future__ import annotations

import numpy as np
import torch

from longtail.errors import ConfigError, UnknownNameError
from longtail.functional.curriculum import SCHEDULES, curriculum_exponent
from longtail.functional.random import mix, shuffled, uniforms
from longtail.samplers.base import Floats, Ints, Labels, Sampler
from longtail.samplers.independent import ClassDraw, power_marginal
from longtail.samplers.kernel import alias_table

__all__ = ["Bilateral", "Curriculum"]

_PASS = 2
UNITS = ("classes", "rows")


class Bilateral(Sampler):
    """Two streams take turns, a uniform one and a reversed one: half of every batch is each one's.

    ``P_c = (U_c + R_c) / 2`` with the reversed ``R_c ~ n_max / n_c`` and a uniform stream that
    is uniform over classes, ``U_c = 1 / C``, or over rows, ``U_c = n_c / N``: then it walks
    through shuffled passes, each row once a pass, as plain training does.

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

    def positions(self, epoch: int) -> Ints:
        n = self.size
        place = np.arange(epoch * n, (epoch + 1) * n, dtype=np.int64)
        odd = place % 2 == 1  # parity runs on from epoch to epoch, so neither stream falls behind
        out = np.empty(n, dtype=np.int64)
        out[odd] = self._drawn(power_marginal(self.counts, -1.0), epoch, odd)
        if self.uniform == "classes":
            out[~odd] = self._drawn(self.even(), epoch, ~odd)
        else:
            turn, slot = np.divmod(place[~odd] // 2, n)
            out[~odd] = shuffled(slot, n, mix(self.seed, _PASS, turn))
        return out

    def _drawn(self, share: Floats, epoch: int, mine: np.ndarray) -> Ints:
        """Independent draws, a class by its share and then a row of it, for some places."""
        accept, other = alias_table(share)
        u = uniforms(self.seed, "class", epoch, n=self.size)[mine] * len(accept)
        v = uniforms(self.seed, "row", epoch, n=self.size)[mine]
        column = u.astype(np.int64)
        label = np.where(u - column < accept[column], column, other[column])
        return self.rows_of(label, (v * self.counts[label]).astype(np.int64))

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
        if not 0 < left < 1:
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
        self.epochs = epochs

    def at(self, epoch: int) -> float:
        if self.epochs is None:
            raise ConfigError(
                "curriculum sampling does not know how many epochs the stage has",
                "give epochs=T, or set sampler.epochs = T",
            )
        return min(1.0, epoch / (self.epochs - 1)) if self.epochs > 1 else 1.0

    def marginal(self, fraction: float) -> Floats:
        done = torch.tensor(fraction, dtype=torch.float64)
        return power_marginal(
            self.counts, float(curriculum_exponent(done, self.schedule, left=self.left))
        )
