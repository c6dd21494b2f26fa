"""Over- and under-sampling: passes that hold so many rows of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from longtail.errors import ConfigError, UnknownNameError
from longtail.functional.orders import hashed, ordered
from longtail.functional.random import words
from longtail.samplers.base import Floats, Ints, Labels, bernstein
from longtail.samplers.checks import finite
from longtail.samplers.passes import Walk

__all__ = ["RandomOver", "RandomUnder", "ToCounts"]

Pairs = Sequence[tuple[int, float]]
Target = int | float | Mapping[int, float] | Pairs | None


class Counted(Walk):
    """Passes that hold ``m_c`` rows of class ``c``, shuffled, and follow one another without end.

    Where ``m_c <= n_c`` the rows are drawn without replacement, afresh in every pass; else they
    are all ``n_c``, each once, and ``m_c - n_c`` more with replacement. An epoch is the next
    ``N`` rows. A subclass says :meth:`wanted`.
    """

    def wanted(self) -> Ints:
        """``(C,)`` rows ``m_c`` of each class in a pass; zero for a class without rows."""
        raise NotImplementedError

    #: whether the rows of a class that a pass leaves out are drawn afresh in every pass
    refresh = True

    def on_bind(self) -> None:
        super().on_bind()
        self._wanted = self.wanted()
        self._live = np.flatnonzero(self._wanted)
        sizes = self._wanted[self._live]
        self._cuts = np.cumsum(sizes)
        self._level = int(sizes[0]) if (sizes == sizes[0]).all() else 0
        self._repeats = bool((self._wanted > self.counts).any())
        self._leaves = self._wanted < self.counts

    def walk(self, index: Ints) -> Ints:
        length = int(self._cuts[-1])
        turn = index // length
        place = ordered(turn, index - turn * length, length, self.seed, "pass")
        if self._level:
            column = place // self._level
            member = place - column * self._level
        else:
            column = np.searchsorted(self._cuts, place, side="right")
            member = place - (self._cuts - self._wanted[self._live]).take(column)
        label = self._live.take(column)
        if self._repeats:
            size = self.counts.take(label)
            key = int(words(self.seed, "extra", n=1)[0])
            word = hashed(key, turn * length + place) >> np.uint64(11)
            extra = (word.view(np.int64) * (size * 2.0**-53)).astype(np.int64)
            member = np.where(member < size, member, extra)
        turn = turn if self.refresh else np.zeros_like(turn)
        if self._leaves.all():
            member = self.members(label, turn, member)
        elif self._leaves.any():
            some = np.flatnonzero(self._leaves.take(label))
            member[some] = self.members(label[some], turn[some], member[some])
        return self.rows_of(label, member)

    def marginal(self, fraction: float) -> Floats:
        return np.asarray(self._wanted / self._wanted.sum(), dtype=np.float64)

    def slack(self, epoch: int, draws: int) -> Floats:
        length = int(self._cuts[-1])
        first, last = epoch * self.size, epoch * self.size + draws
        cut = min(draws, -first % length + last % length)  # draws of passes that are cut
        whole = cut if last // length > first // length else draws
        return bernstein(self.marginal(0.0), np.full(len(self.counts), float(whole)))

    def rows_for(self, target: float) -> int:
        """Rows that a number stands for: itself, or a share of the largest class."""
        return max(1, round(target * int(self.counts.max()))) if target < 1 else int(target)

    def named(self, target: Mapping[int, float]) -> dict[int, int]:
        """Rows of the classes that a dictionary names."""
        ids = {str(c): c for c in self.present.tolist()}
        for label in target:
            if str(label) not in ids:
                raise UnknownNameError("class with rows called", label, ids)
        return {ids[str(label)]: self.rows_for(v) for label, v in target.items()}


def told(target: Target) -> int | float | Mapping[int, float] | None:
    """A target whose pairs of class id and rows, as a recipe keeps them, are a dictionary."""
    if not isinstance(target, list | tuple):
        return target  # type: ignore[return-value]
    pairs = [tuple(p) if isinstance(p, list | tuple) else () for p in target]
    if not pairs or any(len(p) != 2 for p in pairs):
        raise ConfigError(
            f"target={target!r} is no number of rows",
            "give a number for all classes, or class id -> rows: {0: 50, 3: 20}",
        )
    return dict(pairs)


def check_target(target: Target, name: str = "target") -> None:
    """Refuse what is no number of rows and no share."""
    target = told(target)
    for key, value in target.items() if isinstance(target, Mapping) else [(name, target)]:
        if value is None and not isinstance(target, Mapping):
            continue
        number = finite(value)
        if number is None or number <= 0 or (number > 1 and number != int(number)):
            raise ConfigError(
                f"{key}={value!r} is no number of rows",
                "give a whole number from 1 on, or a fraction below 1 of the largest class",
            )


class ToCounts(Counted):
    """A pass holds ``m_c = clip(n_c, low, high)`` rows of class ``c``, or as many as it is told.

    Where ``m_c <= n_c`` they are drawn without replacement, afresh in every pass; else they are
    all ``n_c`` rows, each once, and ``m_c - n_c`` more with replacement.

    Args:
        low: rows of a class at least; a fraction below 1 is a share of the largest class.
        high: rows of a class at most; the same.
        target: class id -> rows (or share), for classes that do not follow ``low`` and ``high``.
        labels: class ids of the rows; see :class:`Sampler`.
        num_classes: ``C``.
        seed: of the draws.
        num_replicas: number of processes.
        rank: which of them this is.
        pad: repeat the first draws so that every process has equally many.
    """

    def __init__(
        self,
        low: float | None = None,
        high: float | None = None,
        *,
        target: Mapping[int, float] | Pairs | None = None,
        labels: Labels = None,
        num_classes: int | None = None,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
        pad: bool = False,
    ) -> None:
        for name, value in (("low", low), ("high", high), ("target", target)):
            check_target(value, name)
        self.low, self.high, self.target = low, high, target
        super().__init__(
            labels=labels,
            num_classes=num_classes,
            seed=seed,
            num_replicas=num_replicas,
            rank=rank,
            pad=pad,
        )

    def wanted(self) -> Ints:
        n = self.counts
        low = 0 if self.low is None else self.rows_for(self.low)
        high = int(n.max()) if self.high is None else self.rows_for(self.high)
        if low > high:
            raise ConfigError(
                f"low={self.low} is above high={self.high} ({low} and {high} rows)", "exchange them"
            )
        m = np.where(n > 0, np.clip(n, low, high), 0)
        named = told(self.target)
        for label, rows in self.named(named if isinstance(named, Mapping) else {}).items():
            m[label] = rows
        return m


class RandomOver(Counted):
    """Random over-sampling: a pass holds ``n_max`` rows of every class, shuffled.

    Of a class it holds all ``n_c`` rows, each once, and ``n_max - n_c`` more of them with
    replacement. Nothing is drawn more rarely than it is there.

    Args:
        target: rows of every class at least (a fraction below 1 is a share of the largest
            class), or class id -> rows of some; absent, ``n_max``.
        labels: class ids of the rows; see :class:`Sampler`.
        num_classes: ``C``.
        seed: of the draws.
        num_replicas: number of processes.
        rank: which of them this is.
        pad: repeat the first draws so that every process has equally many.
    """

    def __init__(
        self,
        target: Target = None,
        *,
        labels: Labels = None,
        num_classes: int | None = None,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
        pad: bool = False,
    ) -> None:
        check_target(target)
        self.target = target
        super().__init__(
            labels=labels,
            num_classes=num_classes,
            seed=seed,
            num_replicas=num_replicas,
            rank=rank,
            pad=pad,
        )

    def wanted(self) -> Ints:
        n, target = self.counts, told(self.target)
        if isinstance(target, Mapping):
            m = n.copy()
            for label, rows in self.named(target).items():
                if rows < n[label]:
                    raise ConfigError(
                        f"over-sampling cannot make {rows} of the {n[label]} rows of class {label}",
                        "use rus(target=...) for fewer, to_counts(target=...) for both",
                    )
                m[label] = rows
            return m
        low = int(n.max()) if target is None else self.rows_for(target)
        return np.where(n > 0, np.maximum(n, low), 0)


class RandomUnder(Counted):
    """Random under-sampling: a pass holds ``n_min`` rows of every class, shuffled.

    The rows of a class are drawn without replacement, afresh in every pass or once for all.
    Nothing is drawn more often than it is there.

    Args:
        target: rows of every class at most (a fraction below 1 is a share of the largest
            class), or class id -> rows of some; absent, ``n_min``.
        refresh: draw the rows afresh in every pass, so that all come in time; false keeps those
            of one draw for all epochs, in a new order each pass.
        labels: class ids of the rows; see :class:`Sampler`.
        num_classes: ``C``.
        seed: of the draws.
        num_replicas: number of processes.
        rank: which of them this is.
        pad: repeat the first draws so that every process has equally many.
    """

    def __init__(
        self,
        target: Target = None,
        *,
        refresh: bool = True,
        labels: Labels = None,
        num_classes: int | None = None,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
        pad: bool = False,
    ) -> None:
        check_target(target)
        self.target = target
        self.refresh = refresh
        super().__init__(
            labels=labels,
            num_classes=num_classes,
            seed=seed,
            num_replicas=num_replicas,
            rank=rank,
            pad=pad,
        )

    def notes(self, batch_size: int) -> list[str]:
        length = int(self._cuts[-1])
        if length >= batch_size:
            return []
        return [
            f"under-sampling keeps {length} rows a pass, fewer than a batch of {batch_size}: rows "
            "repeat within a batch; target=... keeps more, ros or class_balanced drop none"
        ]

    def wanted(self) -> Ints:
        n, target = self.counts, told(self.target)
        if isinstance(target, Mapping):
            m = n.copy()
            for label, rows in self.named(target).items():
                if rows > n[label]:
                    raise ConfigError(
                        f"under-sampling cannot make {rows} of the {n[label]} rows of class {label}",
                        "use ros(target=...) for more, to_counts(target=...) for both",
                    )
                m[label] = rows
            return m
        high = int(n[self.present].min()) if target is None else self.rows_for(target)
        return np.minimum(n, high)
