"""What every sampler shares: which rows an epoch draws, as a pure function of its number."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler as TorchSampler

from longtail.checks import check_whole
from longtail.errors import ConfigError, DataError, LongtailError, UnboundPartError
from longtail.functional.orders import permuted
from longtail.labels import label_array

__all__ = ["Sampler"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Order = NDArray[np.int32] | Ints
Labels = Any  # whatever longtail.labels.read_labels reads

_BUILD, _HAND_OUT = 1 << 20, 1 << 18
#: chance that :meth:`Sampler.check_draws` refuses a draw that keeps its promise
CHANCE = 1e-9


class UnlabelledSamplerError(UnboundPartError):
    """A sampler that was asked for rows before it had the labels."""

    def __init__(self, name: str) -> None:
        self.name = name
        LongtailError.__init__(
            self,
            f"{name} needs the labels of the training rows and has none",
            f"give them: {name}(..., labels=y), or call .bind_labels(y)",
        )


class Sampler(TorchSampler[int]):
    """An epoch is ``N`` positions, a pure function of the seed and the number of the epoch.

    Call :meth:`set_epoch` before each epoch, as with ``DistributedSampler``; without it every
    epoch draws the same rows. Under several processes each takes every ``num_replicas``-th
    draw of the one list that a single process would see, and makes no others; any step of an
    epoch can be gone on from at once. The items of a data set are never read.

    Args:
        labels: class ids of the training rows: ``(N,)`` numbers, or a data set that
            :func:`~longtail.labels.read_labels` knows; absent, :meth:`bind_labels` brings them.
        num_classes: ``C``; absent, the largest label and one more.
        seed: of the draws.
        num_replicas: number of processes.
        rank: which of them this is.
        pad: repeat the first draws so that every process has equally many.
    """

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
        super().__init__()
        check_whole("num_replicas", num_replicas, "1 for a single process")
        check_whole("rank", rank, "0 for a single process", low=None)
        if not 0 <= rank < num_replicas:
            raise ConfigError(
                f"rank {rank} does not exist among {num_replicas} processes",
                f"rank is one of 0..{max(0, num_replicas - 1)}",
            )
        check_whole("seed", seed, "seed=0 is the default", low=None)
        if num_classes is not None:
            check_whole("num_classes", num_classes, "leave it out to count the labels")
        self.num_classes = num_classes
        self.seed = seed
        self.num_replicas = num_replicas
        self.rank = rank
        self.pad = pad
        self.epoch, self.start = 0, 0
        self.epochs: int | None = None
        self._order: Order | None = None
        if labels is not None:
            self.bind_labels(labels, num_classes, seed)
            self._refuse_gaps()

    # -- what a sampler is ---------------------------------------------------------------------

    #: whether a class without rows is refused when the labels come by the constructor
    reads_classes = True
    #: whether rows lie in :attr:`order` shuffled within their class, else ascending
    mixes_rows = False
    #: whether :meth:`rows` makes a part of an epoch without making the rest
    in_parts = False

    def rows(self, epoch: int, span: range) -> Ints:
        """Rows of the draws number ``span`` of an epoch. Shape ``(len(span),)``.

        A subclass says this, and then sets :attr:`in_parts`; or it says :meth:`positions`.
        """
        return self.positions(epoch)[span.start : span.stop : span.step]

    def positions(self, epoch: int) -> Ints:
        """``(N,)`` rows of one epoch."""
        raise NotImplementedError

    def marginal(self, fraction: float) -> Floats:
        """``(C,)`` class probabilities when ``fraction`` of the stage is done."""
        raise NotImplementedError

    def at(self, epoch: int) -> float:
        """Fraction of the stage whose marginal an epoch draws from."""
        return 0.0

    def slack(self, epoch: int, draws: int) -> Floats:
        """``(C,)`` how far the counts of the first draws of an epoch may be from their means.

        Bernstein's bound for independent draws, which holds for draws without replacement too,
        so wide that it is exceeded with a chance below ``1e-9`` in all. A sampler that deals out
        its classes more evenly, or in runs, says its own bound.
        """
        share = self.marginal(self.at(epoch))
        return bernstein(share, np.full(len(share), float(draws)))

    def rows_of(self, label: Ints, member: Ints) -> Ints:
        """Rows number ``member`` of classes ``label``, elementwise."""
        return self.order.take(self.starts.take(label) + member).astype(np.int64, copy=False)

    def notes(self, batch_size: int) -> list[str]:
        """What a user should know of batches of this many rows, a sentence each."""
        return []

    def on_bind(self) -> None:
        """Check the class counts (nothing by default)."""

    # -- how it is called ----------------------------------------------------------------------

    def bind_labels(
        self, labels: Labels, num_classes: int | None = None, seed: int | None = None
    ) -> Self:
        """Take the labels of the training rows.

        The zero-count policy is that of ``ClassStats``: what it let pass is not judged again
        here, and a class without rows is never drawn.

        Args:
            labels: ``(N,)`` class ids.
            num_classes: ``C``; absent, the largest label and one more.
            seed: of the draws; absent, the one of the constructor.
        """
        y = label_array(labels)
        low, high = int(y.min()), int(y.max())
        c = high + 1 if num_classes is None else num_classes
        if low < 0 or high >= c:
            raise DataError(
                f"labels run from {low} to {high}, there are {c} classes",
                "labels are class ids 0..C-1; leave unlabelled rows out",
            )
        if c < 2:
            raise DataError(
                f"all {len(y)} labels are 0: there is nothing to re-balance in one class",
                "give labels of 2 classes at least, or num_classes=C where others have no rows",
            )
        if seed is not None:
            self.seed = seed
        self.num_classes = c
        small = y.astype(np.uint16 if c <= 65536 else np.int64, copy=False)
        self._counts = _counted(small, c)
        self._starts = np.cumsum(self._counts) - self._counts
        self._present = np.flatnonzero(self._counts)
        read = permuted(np.arange(len(y)), len(y), self.seed, "mixed") if self.mixes_rows else None
        self._order = _by_class(small, self._starts, read)
        self.on_bind()
        return self

    def draw(self, epoch: int, start: int = 0, stop: int | None = None, step: int = 1) -> Tensor:
        """Positions of one epoch for all processes together, or every ``step``-th of a part.

        Args:
            epoch: 0-based.
            start: number of the first draw wanted.
            stop: number after the last one; absent, ``N``.
            step: 1 gives all between.

        Returns:
            ``(N,)`` int64, or as many as were asked for.
        """
        self._bound()
        stop = self.size if stop is None else stop
        if epoch < 0:
            raise ConfigError(f"there is no epoch {epoch}", "epochs count from 0")
        if not 0 <= start <= stop <= self.size or step < 1:
            raise ConfigError(
                f"an epoch has no draws {start}:{stop}:{step}",
                f"it has {self.size}: 0 <= start <= stop <= {self.size}, step >= 1",
            )
        return torch.from_numpy(self.rows(epoch, range(start, stop, step)))

    def class_marginal(self, fraction: float = 1.0) -> Tensor:
        """``(C,)`` float64: the probability of each class when ``fraction`` of the stage is done."""
        self._bound()
        return torch.from_numpy(self.marginal(min(1.0, max(0.0, float(fraction)))))

    def final_marginal(self) -> Tensor:
        """``(C,)`` float64: the probability of each class in the last epoch, as it is drawn.

        Where the sampler was not told how many epochs there are, that of the end of the stage.
        """
        return self.class_marginal(1.0 if self.epochs is None else self.at(self.epochs - 1))

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch (0-based) that iteration draws.

        Args:
            epoch: its number.
            start: draws of this process to leave out, to go on in the middle of an epoch.
        """
        if start < 0:
            raise ConfigError(f"start must not be negative, not {start}", "0 is a whole epoch")
        self.epoch, self.start = epoch, start

    def __iter__(self) -> Iterator[int]:
        first = self.rank + self.start * self.num_replicas
        size, wanted = self.size, len(self)
        mine = range(first, size, self.num_replicas)[:wanted]
        again = [
            i % size
            for i in range(first, first + self.num_replicas * wanted, self.num_replicas)[
                len(mine) :
            ]
        ]
        part = _HAND_OUT if self.in_parts else max(1, len(mine))
        spans = [mine[a : a + part] for a in range(0, len(mine), part)]
        spans += [range(i, i + 1) for i in again]
        return chain.from_iterable(
            self.draw(self.epoch, s.start, s[-1] + 1, s.step).tolist() for s in spans
        )

    def __len__(self) -> int:
        self._bound()
        spare = self.num_replicas - 1 if self.pad else self.num_replicas - 1 - self.rank
        return max(0, (self.size + spare) // self.num_replicas - self.start)

    def check_draws(self, seen: Any, epoch: int) -> None:
        """Compare the classes of an epoch's first draws with what the rule promises.

        Args:
            seen: ``(C,)`` how often each class came: numbers of any sequence.
            epoch: which one.

        Raises:
            DataError: a class came too often or too rarely. Draws that keep the promise are
                refused with a chance below ``1e-9``.
        """
        counted = getattr(seen, "tolist", lambda: seen)()
        try:
            seen = np.asarray(counted, dtype=np.int64)
        except (TypeError, ValueError):
            seen = np.zeros(0, dtype=np.int64)
        if seen.shape != self.counts.shape:
            raise DataError(
                f"check_draws takes one count of each of {len(self.counts)} classes, not {counted!r}",
                "count the labels of the rows drawn: torch.bincount(y[rows], minlength=C)",
            )
        draws = int(seen.sum())
        mean = self.marginal(self.at(epoch)) * draws
        off = np.abs(seen - mean) - self.slack(epoch, draws)
        worst = int(off.argmax())
        if off[worst] > 1e-6 * (1 + mean[worst]):
            raise DataError(
                f"{type(self).__name__} promises {mean[worst]:.6g} of {draws} draws to class {worst}, "
                f"and gives it {int(seen[worst])}",
                "the labels it was bound to are not those of the rows, or draw and marginal disagree",
            )

    @property
    def size(self) -> int:
        """``N``."""
        return len(self.order)

    @property
    def order(self) -> Order:
        """``(N,)`` rows sorted by class; those of class ``c`` start at ``starts[c]``.

        32 bits wide where that is enough.
        """
        self._bound()
        assert self._order is not None
        return self._order

    @property
    def counts(self) -> Ints:
        """``(C,)`` rows of each class."""
        self._bound()
        return self._counts

    @property
    def starts(self) -> Ints:
        """``(C,)`` where each class begins in :attr:`order`."""
        self._bound()
        return self._starts

    @property
    def present(self) -> Ints:
        """Ids of the classes that have rows."""
        self._bound()
        return self._present

    def even(self) -> Floats:
        """``(C,)`` equal probabilities of the classes that have rows."""
        share = (self.counts > 0).astype(np.float64)
        return np.asarray(share / share.sum(), dtype=np.float64)

    def _bound(self) -> None:
        if self._order is None:
            raise UnlabelledSamplerError(type(self).__name__)

    def _refuse_gaps(self) -> None:
        empty = np.flatnonzero(self.counts == 0)
        if self.reads_classes and len(empty):
            shown = ", ".join(map(str, empty[:8].tolist()))
            whole = "give every process the labels of all rows: it shares the draws out itself; "
            raise DataError(
                f"{len(empty)} of {len(self.counts)} classes have no row to draw: {shown}",
                (whole if self.num_replicas > 1 else "number the labels 0..C-1 without gaps; ")
                + "bind_labels(labels, num_classes) never draws such a class",
            )

    def __repr__(self) -> str:
        shown = {k: v for k, v in vars(self).items() if not k.startswith("_")}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


def bernstein(share: Floats, draws: Floats) -> Floats:
    """How far ``(C,)`` counts of independent draws stray from their means, but for ``1e-9``."""
    far = np.log(2 * max(1, len(share)) / CHANCE)
    spread = draws * share * (1 - share)
    return np.asarray(far / 3 + np.sqrt(far * far / 9 + 2 * far * spread)) * (spread > 0)


def _counted(y: NDArray[Any], classes: int) -> Ints:
    """``(C,)`` rows a class, in parts, as bincount widens what it is given."""
    out = np.zeros(classes, dtype=np.int64)
    for a in range(0, len(y), _BUILD):
        out += np.bincount(y[a : a + _BUILD], minlength=classes)
    return out


def _by_class(y: NDArray[Any], starts: Ints, read: Ints | None) -> Order:
    """``(N,)`` rows by class, within a class as they are read: ascending, or by a given order.

    Counting sort in parts: 4 bytes a row and little more. 16-bit labels sort by radix.
    """
    narrow = len(y) < 1 << 31
    out: Order = np.empty(len(y), np.int32) if narrow else np.empty(len(y), np.int64)
    free = starts.copy()
    for a in range(0, len(y), _BUILD):
        rows = np.arange(a, min(a + _BUILD, len(y))) if read is None else read[a : a + _BUILD]
        own = y[rows]
        sorting = np.argsort(own, kind="stable")
        label = own[sorting].astype(np.int64)
        counts = np.bincount(label, minlength=len(starts))
        first = np.cumsum(counts) - counts
        out[np.arange(len(rows)) + (free - first).take(label)] = rows[sorting]
        free += counts
    return out
