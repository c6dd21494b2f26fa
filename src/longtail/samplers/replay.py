"""Partitioning reservoir sampling as the order of an epoch."""

from __future__ import annotations

import numpy as np

from longtail.errors import ConfigError
from longtail.functional.orders import permuted, swapped
from longtail.functional.random import words
from longtail.samplers.base import Floats, Ints, Labels, Sampler, bernstein
from longtail.samplers.checks import finite
from longtail.samplers.streams import Reservoir

__all__ = ["Replay"]

_MOMENTS = 64


class Replay(Sampler):
    """The rows pass by as a stream; each comes with one from a memory with equal classes.

    A pass shows the ``N`` rows in an order of its own to a :class:`Reservoir` that starts
    empty, and makes ``2 N`` draws: the rows, each paired with one drawn evenly from the memory as
    it is then. Which of the two comes first is a coin's choice for each pair, so that every
    process of any number sees both. An epoch is the next ``N`` draws, so a pass takes two. Its
    decisions follow one another, so a pass is worked out as a whole, once: some 50 microseconds
    a row.

    Args:
        memory: slots ``m``; a fraction below 1 is a share of the rows. At least one a class.
        rho: 0 gives all classes equal shares of the memory, 1 those of the stream.
        labels: class ids of the rows; see :class:`Sampler`.
        num_classes: ``C``.
        seed: of the draws.
        num_replicas: number of processes.
        rank: which of them this is.
        pad: repeat the first draws so that every process has equally many.

    Reference: after Kim, Jeong and Kim, ECCV 2020.
    """

    def __init__(
        self,
        memory: float = 0.2,
        *,
        rho: float = 0.0,
        labels: Labels = None,
        num_classes: int | None = None,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
        pad: bool = False,
    ) -> None:
        slots, power = finite(memory), finite(rho)
        if slots is None or slots <= 0 or (slots > 1 and slots != int(slots)):
            raise ConfigError(
                f"memory={memory} is no number of slots",
                "give a whole number, or a fraction below 1 of the training rows",
            )
        if power is None or not 0 <= power <= 1:
            raise ConfigError(f"rho must lie in [0, 1], not {rho}", "0 gives classes equal shares")
        self.memory, self.rho = memory, rho
        super().__init__(
            labels=labels,
            num_classes=num_classes,
            seed=seed,
            num_replicas=num_replicas,
            rank=rank,
            pad=pad,
        )

    def on_bind(self) -> None:
        if 1 <= self.memory < len(self.present):
            raise ConfigError(
                f"a memory of {self.memory} slots cannot hold {len(self.present)} classes",
                "give it at least one slot a class, better ten",
            )
        self._labels = np.empty(self.size, dtype=np.int64)
        self._labels[self.order] = np.repeat(np.arange(len(self.counts)), self.counts)
        self._kept: tuple[int, Ints] | None = None
        self._share: Floats | None = None

    @property
    def slots(self) -> int:
        """``m``."""
        m = round(self.memory * self.size) if self.memory < 1 else int(self.memory)
        return max(m, len(self.present))

    def positions(self, epoch: int) -> Ints:
        first, last = epoch * self.size, (epoch + 1) * self.size
        turns = range(first // (2 * self.size), (last - 1) // (2 * self.size) + 1)
        draws = np.concatenate([self._pass(turn) for turn in turns])
        return draws[first - turns[0] * 2 * self.size :][: self.size].copy()

    def _pass(self, turn: int) -> Ints:
        """``(2 N,)`` draws of a pass; the last one is kept."""
        if self._kept is None or self._kept[0] != turn:
            order = permuted(np.arange(self.size), self.size, self.seed, "stream", turn)
            seed = int(words(self.seed, "memory", turn, n=1)[0])
            flow = Reservoir(self.slots, rho=self.rho, seed=seed)
            drawn = flow.replay(order.tolist(), self._labels.__getitem__)
            pairs = np.fromiter(drawn, dtype=np.int64, count=2 * self.size).reshape(-1, 2)
            number = turn * self.size + np.arange(self.size)
            second = swapped(number, self.seed, "pair")
            pairs[second] = pairs[second, ::-1]
            self._kept = turn, pairs.reshape(-1)
        return self._kept[1]

    def marginal(self, fraction: float) -> Floats:
        """Half the natural shares, half what the memory shows on the mean over a pass.

        In the mean of a memory of many slots, a class holds ``min(n_c x, level n_c ** rho)`` of
        them when a share ``x`` of the pass is done: all it has shown, or as much of a common
        level as it is to have.
        """
        if self._share is None:
            done = (np.arange(_MOMENTS) + 0.5) / _MOMENTS
            held = np.mean([self._held(x) for x in done], axis=0)
            self._share = (self.counts / self.size + held) / 2
        return self._share

    def _held(self, done: float) -> Floats:
        """``(C,)`` mean shares of the memory's slots."""
        n = self.counts[self.present]
        shown, weight = n * done, n ** float(self.rho)
        most = min(float(self.slots), float(shown.sum()))
        order = np.argsort(shown / weight)  # those that run out first
        shown, weight = shown[order], weight[order]
        level = (most - np.cumsum(shown) + shown) / np.cumsum(weight[::-1])[::-1]
        first = int(np.argmax(level * weight <= shown * (1 + 1e-12)))
        held = np.zeros(len(self.counts))
        held[self.present[order]] = np.minimum(shown, level[first] * weight)
        return np.asarray(held / held.sum(), dtype=np.float64)

    def slack(self, epoch: int, draws: int) -> Floats:
        """As for independent draws, and the memory's part, as a rare class may come late."""
        share = self.marginal(0.0)
        kept = np.abs(share - self.counts / self.size / 2)
        chance = bernstein(share, np.full(len(share), float(draws)))
        return np.asarray(chance + kept * draws, dtype=np.float64)
