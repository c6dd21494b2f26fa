"""Samplers without replacement: shuffled passes that epochs walk through."""

from __future__ import annotations

import numpy as np

from longtail.errors import ConfigError
from longtail.functional.random import mix, permutation, shuffled
from longtail.samplers.base import Floats, Ints, Labels, Sampler

__all__ = ["ClassAware", "Instance", "RandomOver", "RandomUnder"]

# first entry of each hash, so that no two kinds of shuffle share a key
_CLASSES, _PASS, _ROWS, _EXTRA = 1, 2, 3, 4


class Instance(Sampler):
    """Every row once an epoch, in random order: plain training."""

    reads_classes = False

    def positions(self, epoch: int) -> Ints:
        return permutation(self.seed, "order", epoch, n=self.size)

    def marginal(self, fraction: float) -> Floats:
        return np.asarray(self.counts / self.size, dtype=np.float64)


class RandomOver(Sampler):
    """Random over-sampling: a pass holds ``n_max`` rows of every class, shuffled.

    Of a class it holds all ``n_c`` rows, each once, and ``n_max - n_c`` more of them with
    replacement. An epoch is the next ``N`` rows of the passes, which follow one another without
    end; only the slice that is asked for is ever computed.
    """

    def positions(self, epoch: int) -> Ints:
        classes, top = len(self.present), int(self.counts.max())
        length = classes * top
        index = np.arange(epoch * self.size, (epoch + 1) * self.size, dtype=np.int64)
        turn, place = index // length, index % length
        place = shuffled(place, length, mix(self.seed, _PASS, turn))
        label, slot = self.present[place // top], place % top
        n = self.counts[label]
        word = mix(self.seed, _EXTRA, turn, place) >> np.uint64(11)
        extra = (word * 2.0**-53 * n).astype(np.int64)
        return self.rows_of(label, np.where(slot < n, slot, extra))

    def marginal(self, fraction: float) -> Floats:
        return self.even()


class RandomUnder(Sampler):
    """Random under-sampling: a pass holds ``n_min`` rows of every class, shuffled.

    The rows of a class are drawn without replacement and afresh in every pass. An epoch is the
    next ``N`` rows of the passes, which follow one another without end.
    """

    def positions(self, epoch: int) -> Ints:
        classes, low = len(self.present), int(self.counts[self.present].min())
        length = classes * low
        index = np.arange(epoch * self.size, (epoch + 1) * self.size, dtype=np.int64)
        turn, place = index // length, index % length
        place = shuffled(place, length, mix(self.seed, _PASS, turn))
        label, slot = self.present[place // low], place % low
        member = shuffled(slot, self.counts[label], mix(self.seed, _ROWS, turn, label))
        return self.rows_of(label, member)

    def marginal(self, fraction: float) -> Floats:
        return self.even()


class ClassAware(Sampler):
    """The next class of a shuffled cycle of classes, then the next ``k`` rows of its own cycle.

    A cycle visits every class once, in an order of its own; the rows of a class all come before
    one comes again, in an order that is drawn afresh each time round. An epoch is the next
    ``N`` rows, so both kinds of cycle go on from epoch to epoch.

    Args:
        k: rows taken at each visit.
        labels: ``(N,)`` class ids.
        num_classes: ``C``.
        seed: of the draws.
        num_replicas: number of processes.
        rank: which of them this is.
        pad: repeat the first draws so that every process has equally many.

    Reference: after Shen et al., *Relay backpropagation*, ECCV 2016.
    """

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
        if k != int(k) or k < 1:
            raise ConfigError(f"k must be a whole number from 1 on, not {k}", "4 is published")
        self.k = k
        super().__init__(
            labels=labels,
            num_classes=num_classes,
            seed=seed,
            num_replicas=num_replicas,
            rank=rank,
            pad=pad,
        )

    def positions(self, epoch: int) -> Ints:
        classes, k = len(self.present), int(self.k)
        first, last = epoch * self.size, (epoch + 1) * self.size
        visit = np.arange(first // k, (last - 1) // k + 1, dtype=np.int64)
        cycle = visit // classes
        label = self.present[shuffled(visit % classes, classes, mix(self.seed, _CLASSES, cycle))]
        keep = slice(first % k, first % k + self.size)
        nth = (cycle[:, None] * k + np.arange(k)).reshape(-1)[keep]
        label = np.repeat(label, k)[keep]
        turn, slot = np.divmod(nth, self.counts[label])
        member = shuffled(slot, self.counts[label], mix(self.seed, _ROWS, turn, label))
        return self.rows_of(label, member)

    def marginal(self, fraction: float) -> Floats:
        return self.even()
