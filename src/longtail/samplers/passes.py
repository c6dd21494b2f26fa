"""Samplers without replacement: shuffled passes that epochs walk through."""

from __future__ import annotations

import numpy as np

from longtail.functional.orders import (
    affine,
    hashed,
    ordered,
    permuted,
    primes_from,
    rotation,
    turned,
    wrapped,
)
from longtail.functional.random import Words, words
from longtail.samplers.base import Floats, Ints, Labels, Sampler
from longtail.samplers.checks import whole

__all__ = ["ClassAware", "Instance", "Walk"]

_PIECE = 1 << 16
_DENSE = 1024  # rows a visit up to which all of a visit are worked out


class Instance(Sampler):
    """Every row once an epoch, in random order: plain training."""

    reads_classes = False
    in_parts = True

    def rows(self, epoch: int, span: range) -> Ints:
        index = np.arange(span.start, span.stop, span.step)
        return permuted(index, self.size, self.seed, "order", epoch)

    def marginal(self, fraction: float) -> Floats:
        return np.asarray(self.counts / self.size, dtype=np.float64)

    def slack(self, epoch: int, draws: int) -> Floats:
        return super().slack(epoch, draws) * (draws < self.size)


class Walk(Sampler):
    """Passes that follow one another without end; an epoch is the next ``N`` draws of them.

    Draw ``i`` of epoch ``e`` is number ``e N + i``. A subclass says :meth:`walk`. Rows of a class
    come in turns: all of them once, in an order of the turn's own, before one comes again.
    """

    in_parts = True
    mixes_rows = True
    #: of :func:`~longtail.functional.orders.turned`
    rounds = 2

    def walk(self, index: Ints) -> Ints:
        """Rows of the draws number ``index`` (ascending), counted over all epochs."""
        raise NotImplementedError

    def rows(self, epoch: int, span: range) -> Ints:
        out = np.empty(len(span), dtype=np.int64)
        for a in range(0, len(span), _PIECE):
            part = span[a : a + _PIECE]
            index = np.arange(part.start, part.stop, part.step, dtype=np.int64)
            out[a : a + _PIECE] = self.walk(index + epoch * self.size)
        return out

    def on_bind(self) -> None:
        self._primes = primes_from(self.counts + 1)
        self._keys = hashed(int(words(self.seed, "turns", n=1)[0]), np.arange(len(self.counts)))

    def turn_keys(self, label: Ints, turn: Ints) -> Words:
        """A word for each turn of each class."""
        return hashed(self._keys.take(label), turn)

    def members(self, label: Ints, turn: Ints, slot: Ints) -> Ints:
        """Which of its class's rows comes at ``slot`` of a turn, elementwise."""
        size, prime = self.counts.take(label), self._primes.take(label)
        return turned(slot, size, prime, self.turn_keys(label, turn), self.rounds)


class ClassAware(Walk):
    """The next class of a shuffled cycle of classes, then the next ``k`` rows of its own cycle.

    A cycle visits every class once, in an order of its own; the rows of a class all come before
    one comes again, in an order that changes each time round. An epoch is the next ``N`` rows, so
    both kinds of cycle go on from epoch to epoch.

    Args:
        k: rows taken at each visit.
        labels: class ids of the rows; see :class:`Sampler`.
        num_classes: ``C``.
        seed: of the draws.
        num_replicas: number of processes.
        rank: which of them this is.
        pad: repeat the first draws so that every process has equally many.

    Reference: after Shen et al., *Relay backpropagation*, ECCV 2016.
    """

    rounds = 1  # a turn holds all rows of its class, so only their order is at stake

    def __init__(
        self,
        k: int = 4,
        *,
        labels: Labels = None,
        num_classes: int | None = None,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
        pad: bool = False,
    ) -> None:
        whole("k", k, "4 is published")
        self.k = k
        super().__init__(
            labels=labels,
            num_classes=num_classes,
            seed=seed,
            num_replicas=num_replicas,
            rank=rank,
            pad=pad,
        )

    def walk(self, index: Ints) -> Ints:
        classes, k = len(self.present), int(self.k)
        visit, first = index // k, int(index[0]) // k
        dense = len(index) > 1 and int(index[1] - index[0]) < k <= _DENSE
        if dense:  # several draws a visit: what they share is worked out once
            visit = np.arange(first, int(visit[-1]) + 1)
        cycle = visit // classes
        place = visit - cycle * classes
        label = self.present.take(ordered(cycle, place, classes, self.seed, "classes"))
        if not dense:
            turn, slot = np.divmod(cycle * k + (index - visit * k), self.counts.take(label))
            return self.rows_of(label, self.members(label, turn, slot))
        rows = self.order.take(self._visits(label, cycle)).reshape(-1)
        if len(index) == int(index[-1] - index[0]) + 1:
            at = int(index[0]) - first * k
            return rows[at : at + len(index)].astype(np.int64, copy=False)
        return rows.take(index - first * k).astype(np.int64, copy=False)

    def _visits(self, label: Ints, cycle: Ints) -> Ints:
        """``(V, k)`` places in :attr:`order` of the ``k`` rows of each visit."""
        k, size, prime = int(self.k), self.counts.take(label), self._primes.take(label)
        turn, slot = np.divmod(cycle * k, size)
        keys = self.turn_keys(label, turn)
        a, b = affine(prime, keys)
        turned_by = rotation(size, keys)
        member = np.empty((len(label), k), dtype=np.int64)
        lost = slot + k > size  # goes on in the next turn
        value = (a * slot + b) % prime
        for j in range(k):
            lost |= value >= size
            member[:, j] = wrapped(value + turned_by, size)
            value = wrapped(value + a, prime)
        if lost.any():
            mine, own = np.flatnonzero(lost), label[lost]
            nth = (cycle[mine] * k)[:, None] + np.arange(k)
            turn, slot = np.divmod(nth, self.counts.take(own)[:, None])
            flat = self.members(np.repeat(own, k), turn.reshape(-1), slot.reshape(-1))
            member[mine] = flat.reshape(-1, k)
        member += self.starts.take(label)[:, None]
        return member

    def marginal(self, fraction: float) -> Floats:
        return self.even()

    def slack(self, epoch: int, draws: int) -> Floats:
        return np.asarray(2.0 * self.k * (self.counts > 0), dtype=np.float64)
