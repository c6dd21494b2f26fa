"""Samplers with replacement: a class by its probability, then one of its rows."""

from __future__ import annotations

import numpy as np

from longtail.checks import is_finite
from longtail.errors import ConfigError
from longtail.functional.random import words
from longtail.functional.weights import effective_count
from longtail.samplers.base import Floats, Ints, Labels, Sampler
from longtail.samplers.checks import stage_epochs, stage_fraction
from longtail.samplers.kernel import RowTable

__all__ = [
    "ClassBalanced",
    "ClassDraw",
    "EffectiveNumberSampler",
    "Power",
    "Progressive",
    "Reversed",
    "SquareRoot",
]


class ClassDraw(Sampler):
    """``N`` independent draws: class ``c`` with probability ``P_c``, then a row of it evenly.

    Class first, so there is no limit on ``N``; draw ``i`` is a function of seed, epoch and
    ``i`` alone. A subclass says :meth:`marginal`, and :meth:`at` where it moves over the stage.
    """

    in_parts = True

    def rows(self, epoch: int, span: range) -> Ints:
        key = int(words(self.seed, "class", epoch, n=1)[0])
        return self._table_of(self.marginal(self.at(epoch))).rows(self.order, key, span)

    def on_bind(self) -> None:
        self._table: tuple[Floats, RowTable] | None = None

    def _table_of(self, share: Floats) -> RowTable:
        """The table of a marginal; the last one is kept."""
        if self._table is None or not np.array_equal(self._table[0], share):
            self._table = share, RowTable(share, self.counts, self.starts)
        return self._table[1]


def power_marginal(counts: Ints, q: float) -> Floats:
    """``n ** q / sum n ** q`` over the classes that have rows."""
    log = np.where(counts > 0, q * np.log(np.maximum(counts, 1)), -np.inf)
    share = np.exp(log - log.max())
    return np.asarray(share / share.sum(), dtype=np.float64)


class Power(ClassDraw):
    """``P_c = n_c ** q / sum_j n_j ** q``, rows with replacement.

    Args:
        q: 1 is instance-balanced, 1/2 square-root, 0 class-balanced, -1 reversed.
        labels: ``(N,)`` class ids.
        num_classes: ``C``.
        seed: of the draws.
        num_replicas: number of processes.
        rank: which of them this is.
        pad: repeat the first draws so that every process has equally many.

    Reference: Kang et al., *Decoupling representation and classifier for long-tailed
    recognition*, ICLR 2020.
    """

    def __init__(
        self,
        q: float = 1.0,
        *,
        labels: Labels = None,
        num_classes: int | None = None,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
        pad: bool = False,
    ) -> None:
        if not is_finite(q):
            raise ConfigError(f"q must be finite, not {q}", "0 is class-balanced sampling")
        self.q = q
        super().__init__(
            labels=labels,
            num_classes=num_classes,
            seed=seed,
            num_replicas=num_replicas,
            rank=rank,
            pad=pad,
        )

    def marginal(self, fraction: float) -> Floats:
        return power_marginal(self.counts, self.q)


class ClassBalanced(Power):
    """Every class equally often: :class:`Power` with ``q = 0`` unless told otherwise."""

    def __init__(
        self,
        q: float = 0.0,
        *,
        labels: Labels = None,
        num_classes: int | None = None,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
        pad: bool = False,
    ) -> None:
        super().__init__(
            q,
            labels=labels,
            num_classes=num_classes,
            seed=seed,
            num_replicas=num_replicas,
            rank=rank,
            pad=pad,
        )


class SquareRoot(Power):
    """Classes in proportion to the square root of their count: :class:`Power` with ``q = 1/2``."""

    def __init__(
        self,
        *,
        labels: Labels = None,
        num_classes: int | None = None,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
        pad: bool = False,
    ) -> None:
        super().__init__(
            0.5,
            labels=labels,
            num_classes=num_classes,
            seed=seed,
            num_replicas=num_replicas,
            rank=rank,
            pad=pad,
        )


class Reversed(ClassDraw):
    """``P_c ~ n_max / n_c``: the rarer a class, the more often it is drawn.

    Reference: Zhou et al., *BBN: bilateral-branch network*, CVPR 2020.
    """

    def marginal(self, fraction: float) -> Floats:
        return power_marginal(self.counts, -1.0)


class EffectiveNumberSampler(ClassDraw):
    """``P_c ~ n_c / E_c`` with the effective number ``E_c = (1 - beta ** n_c) / (1 - beta)``.

    Args:
        beta: in ``[0, 1)``.
        labels: ``(N,)`` class ids.
        num_classes: ``C``.
        seed: of the draws.
        num_replicas: number of processes.
        rank: which of them this is.
        pad: repeat the first draws so that every process has equally many.

    Reference: after Cui et al., CVPR 2019, and Cao et al., NeurIPS 2019.
    """

    def __init__(
        self,
        beta: float = 0.9999,
        *,
        labels: Labels = None,
        num_classes: int | None = None,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
        pad: bool = False,
    ) -> None:
        if not is_finite(beta) or not 0 <= beta < 1:
            raise ConfigError(f"beta must lie in [0, 1), not {beta}", "0.9999 is the usual value")
        self.beta = beta
        super().__init__(
            labels=labels,
            num_classes=num_classes,
            seed=seed,
            num_replicas=num_replicas,
            rank=rank,
            pad=pad,
        )

    def marginal(self, fraction: float) -> Floats:
        effective = effective_count(self.counts.tolist(), self.beta).numpy()
        share = np.where(self.counts > 0, self.counts / np.maximum(effective, 1e-300), 0.0)
        return np.asarray(share / share.sum(), dtype=np.float64)


class Progressive(ClassDraw):
    """``P(t) = (1 - t) P_natural + t P_even``: from instance- to class-balanced.

    Args:
        cycle: 0 is one ramp of ``t`` from 0 to 1; 1 is three such ramps of ``S = T // 3`` epochs;
            2 goes up, down, up. Epochs that are left over hold 1.
        reach: ``t = e / (T - 1)`` in one ramp and ``(e mod S) / (S - 1)`` in three, so that each
            reaches both ends and the last epoch is class-balanced (as published code); false is
            ``t = e / T`` and ``(3 e mod T) / T`` (as the paper). A ramp of one epoch is at 1, or
            at 0.
        epochs: ``T``, epochs of the stage; absent, set the attribute before drawing.
        labels: ``(N,)`` class ids.
        num_classes: ``C``.
        seed: of the draws.
        num_replicas: number of processes.
        rank: which of them this is.
        pad: repeat the first draws so that every process has equally many.

    Reference: Kang et al., ICLR 2020.
    """

    def __init__(
        self,
        cycle: int = 0,
        *,
        reach: bool = True,
        epochs: int | None = None,
        labels: Labels = None,
        num_classes: int | None = None,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
        pad: bool = False,
    ) -> None:
        if cycle not in (0, 1, 2):
            raise ConfigError(f"there is no cycle {cycle!r}", "choose 0, 1 or 2")
        self.cycle = cycle
        self.reach = reach
        super().__init__(
            labels=labels,
            num_classes=num_classes,
            seed=seed,
            num_replicas=num_replicas,
            rank=rank,
            pad=pad,
        )
        self.epochs = None if epochs is None else stage_epochs("progressive", epochs)

    def at(self, epoch: int) -> float:
        epochs = stage_epochs("progressive", self.epochs)
        return stage_fraction(epoch, epochs) if self.reach else min(1.0, epoch / epochs)

    def share(self, fraction: float) -> float:
        """The share ``t`` of class-balanced sampling when ``fraction`` of the stage is done."""
        if self.cycle == 0 or self.epochs is None:
            third, within = (
                divmod(3 * fraction, 1.0) if self.cycle and fraction < 1 else (3, fraction)
            )
        elif self.reach:
            epoch, ramp = round(fraction * (self.epochs - 1)), self.epochs // 3
            third, place = divmod(epoch, ramp) if ramp > 1 else (3, 0)
            within = place / (ramp - 1) if third < 3 else 1.0
        else:
            third, place = divmod(3 * round(fraction * self.epochs), self.epochs)
            within = place / self.epochs if third < 3 else 1.0
        return 1 - within if self.cycle == 2 and third == 1 else within

    def marginal(self, fraction: float) -> Floats:
        t = self.share(fraction)
        return (1 - t) * power_marginal(self.counts, 1.0) + t * self.even()
