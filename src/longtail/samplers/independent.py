"""Samplers with replacement: a class by its probability, then one of its rows."""

from __future__ import annotations

import math

import numpy as np

from longtail.errors import ConfigError
from longtail.functional.random import uniforms
from longtail.functional.weights import effective_count
from longtail.samplers.base import Floats, Ints, Labels, Sampler

__all__ = [
    "ClassBalanced",
    "ClassDraw",
    "EffectiveNumberSampler",
    "Power",
    "Progressive",
    "Reversed",
    "SquareRoot",
]

_CHUNK = 1 << 16


class ClassDraw(Sampler):
    """``N`` independent draws: class ``c`` with probability ``P_c``, then a row of it evenly.

    Class first, so there is no limit on ``N`` and the arithmetic is exact in float64. A
    subclass says :meth:`marginal`.
    """

    def at(self, epoch: int) -> float:
        """Fraction of the stage whose marginal an epoch draws from."""
        return 0.0

    def positions(self, epoch: int) -> Ints:
        accept, other = alias_table(self.marginal(self.at(epoch)))
        n, c = self.size, len(accept)
        u = uniforms(self.seed, "class", epoch, n=n)
        v = uniforms(self.seed, "row", epoch, n=n)
        out = np.empty(n, dtype=np.int64)
        for a in range(0, n, _CHUNK):
            scaled = u[a : a + _CHUNK] * c
            column = scaled.astype(np.int64)
            label = np.where(scaled - column < accept[column], column, other[column])
            member = (v[a : a + _CHUNK] * self.counts[label]).astype(np.int64)
            out[a : a + _CHUNK] = self.rows_of(label, member)
        return out


def alias_table(probability: Floats) -> tuple[Floats, Ints]:
    """Alias table: column ``j`` stands for ``j`` with chance ``accept[j]``, else ``other[j]``.

    Reference: Walker, ACM TOMS 1977; Vose, IEEE TSE 1991.
    """
    c = len(probability)
    mass = (probability * (c / probability.sum())).tolist()
    accept, other = np.ones(c), np.arange(c, dtype=np.int64)
    small = [j for j in range(c) if mass[j] < 1]
    large = [j for j in range(c) if mass[j] >= 1]
    while small and large:
        low, high = small.pop(), large[-1]
        accept[low], other[low] = mass[low], high
        mass[high] -= 1 - mass[low]
        if mass[high] < 1:
            small.append(large.pop())
    for j in small:  # left over by rounding: full, unless the class is never drawn
        if probability[j] == 0:
            accept[j], other[j] = 0.0, int(probability.argmax())
    return accept, other


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
        if not math.isfinite(q):
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
        if not 0 <= beta < 1:
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
        cycle: 0 is one ramp of ``t`` from 0 to 1; 1 is three such ramps; 2 goes up, down, up.
        reach: ``t = e / (T - 1)``, so that the last epoch is class-balanced (as published
            code); false is ``t = e / T`` (as the paper). With one epoch ``t`` is 1, or 0.
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
        self.epochs = epochs

    def at(self, epoch: int) -> float:
        if self.epochs is None:
            raise ConfigError(
                "progressive sampling does not know how many epochs the stage has",
                "give epochs=T, or set sampler.epochs = T",
            )
        if not self.reach:
            return min(1.0, epoch / max(1, self.epochs))
        return min(1.0, epoch / (self.epochs - 1)) if self.epochs > 1 else 1.0

    def share(self, fraction: float) -> float:
        """The share ``t`` of class-balanced sampling when ``fraction`` of the stage is done."""
        if self.cycle == 0 or fraction >= 1:
            return fraction
        third, within = divmod(3 * fraction, 1.0)
        return 1 - within if self.cycle == 2 and third == 1 else within

    def marginal(self, fraction: float) -> Floats:
        t = self.share(fraction)
        return (1 - t) * power_marginal(self.counts, 1.0) + t * self.even()
