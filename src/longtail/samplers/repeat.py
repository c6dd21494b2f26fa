"""Repeat-factor sampling: rows of rare classes come several times a pass."""

from __future__ import annotations

import numpy as np

from longtail.checks import is_finite
from longtail.errors import ConfigError
from longtail.functional.orders import hashed, scattered
from longtail.functional.random import words
from longtail.functional.weights import repeat_factor
from longtail.samplers.base import Floats, Ints, Labels, bernstein
from longtail.samplers.passes import Walk

__all__ = ["RepeatFactor"]


class RepeatFactor(Walk):
    """A pass holds each row of class ``c`` ``r_c = max(1, sqrt(t / f_c))`` times on average.

    ``f_c = n_c / N``. A row comes ``floor(r_c)`` times and, with the chance of the fraction that
    is left, once more. That chance is dealt out by class: a pass gives ``floor`` or ``ceil`` of
    ``n_c (r_c - floor r_c)`` rows of the class, chosen afresh, one time more, so that passes hardly
    differ in length and where each begins is known. An epoch is the next ``N`` rows of the
    passes, which are shuffled and follow one another without end.

    Args:
        threshold: ``t``, the frequency below which classes are repeated; absent, the median
            frequency of the classes that have rows.
        labels: class ids of the rows; see :class:`Sampler`.
        num_classes: ``C``.
        seed: of the draws.
        num_replicas: number of processes.
        rank: which of them this is.
        pad: repeat the first draws so that every process has equally many.

    Reference: after Gupta, Dollar and Girshick, *LVIS*, CVPR 2019.
    """

    def __init__(
        self,
        threshold: float | None = None,
        *,
        labels: Labels = None,
        num_classes: int | None = None,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
        pad: bool = False,
    ) -> None:
        if threshold is not None and (not is_finite(threshold) or threshold <= 0):
            raise ConfigError(
                f"threshold must be a frequency above 0, not {threshold}",
                "0.001 is published; near the median class frequency half of the classes repeat",
            )
        self.threshold = threshold
        super().__init__(
            labels=labels,
            num_classes=num_classes,
            seed=seed,
            num_replicas=num_replicas,
            rank=rank,
            pad=pad,
        )

    @property
    def factors(self) -> Floats:
        """``(C,)`` repeat factors; 1 for a class without rows."""
        self._bound()
        return self._factors

    def on_bind(self) -> None:
        super().on_bind()
        share = self.counts / self.size
        threshold = self.threshold
        if threshold is None:
            threshold = float(np.median(share[self.present]))
        self._factors = repeat_factor(share, threshold).numpy()
        self._copies = (np.floor(self._factors).astype(np.int64) - 1) * self.counts
        self._left = (self._factors - np.floor(self._factors)) * self.counts
        key = int(words(self.seed, "left", n=1)[0])
        self._offset = (hashed(key, np.arange(len(share))) >> np.uint64(11)) * 2.0**-53

    def more(self, turn: int) -> Ints:
        """``(C,)`` draws of each class that pass ``turn`` holds beside every row once."""
        dealt = np.floor((turn + 1) * self._left + self._offset)
        before = np.floor(turn * self._left + self._offset)
        return np.asarray(self._copies + (dealt - before).astype(np.int64))

    def begins(self, turn: int) -> int:
        """Number, over all epochs, of the first draw of a pass."""
        dealt = np.floor(turn * self._left + self._offset).astype(np.int64)
        return turn * (self.size + int(self._copies.sum())) + int(dealt.sum())

    def walk(self, index: Ints) -> Ints:
        parts, done = [], 0
        mean = self.size + float(self._copies.sum() + self._left.sum())
        turn = max(0, int(index[0] / mean) - 1)
        while self.begins(turn + 1) <= index[0]:
            turn += 1
        while done < len(index):
            begin, end = self.begins(turn), self.begins(turn + 1)
            stop = int(np.searchsorted(index, end))
            parts.append(self._pass(index[done:stop] - begin, turn, end - begin))
            done, turn = stop, turn + 1
        return np.concatenate(parts)

    def _pass(self, place: Ints, turn: int, length: int) -> Ints:
        place = scattered(place, length, self.seed, "pass", turn)
        extra = np.flatnonzero(place >= self.size)
        out = self.order.take(place, mode="clip").astype(np.int64)
        if len(extra):
            cuts = np.cumsum(self.more(turn))
            at = place[extra] - self.size
            label = np.searchsorted(cuts, at, side="right")
            slot = (at - (cuts - self.more(turn)).take(label)) % self.counts.take(label)
            member = self.members(label, np.full(len(label), turn), slot)
            out[extra] = self.rows_of(label, member)
        return out

    def marginal(self, fraction: float) -> Floats:
        share = self.counts * self._factors
        return np.asarray(share / share.sum(), dtype=np.float64)

    def slack(self, epoch: int, draws: int) -> Floats:
        whole = bernstein(self.marginal(0.0), np.full(len(self.counts), float(draws)))
        return np.asarray(whole + (self._left > 0) * (draws / self.size + 1), dtype=np.float64)
