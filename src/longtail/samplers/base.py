"""What every sampler shares: which rows an epoch draws, as a pure function of its number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler as TorchSampler

from longtail.errors import ConfigError, DataError, LongtailError, UnboundPartError

__all__ = ["Sampler"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Labels = Tensor | Sequence[int] | NDArray[np.integer] | None


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
    draw of the one list that a single process would see; the data set itself is never read.

    Args:
        labels: ``(N,)`` class ids of the training rows; absent, :meth:`bind_labels` brings
            them.
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
        if num_replicas < 1 or not 0 <= rank < num_replicas:
            raise ConfigError(
                f"rank {rank} does not exist among {num_replicas} processes",
                f"rank is one of 0..{max(0, num_replicas - 1)}",
            )
        self.num_classes = num_classes
        self.seed = seed
        self.num_replicas = num_replicas
        self.rank = rank
        self.pad = pad
        self.epoch = 0
        self.epochs: int | None = None
        self._order: Ints | None = None
        if labels is not None:
            self.bind_labels(labels, num_classes, seed)
            self._refuse_gaps()

    # -- what a sampler is ---------------------------------------------------------------------

    #: whether a class without rows is refused when the labels come by the constructor
    reads_classes = True

    def positions(self, epoch: int) -> Ints:
        """``(N,)`` rows of one epoch."""
        raise NotImplementedError

    def marginal(self, fraction: float) -> Floats:
        """``(C,)`` class probabilities when ``fraction`` of the stage is done."""
        raise NotImplementedError

    def rows_of(self, label: Ints, member: Ints) -> Ints:
        """Rows number ``member`` of classes ``label``, elementwise."""
        return np.asarray(self.order[self.starts[label] + member], dtype=np.int64)

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
        y = _label_vector(labels)
        c = int(y.max()) + 1 if num_classes is None else num_classes
        if int(y.min()) < 0 or int(y.max()) >= c:
            raise DataError(
                f"labels run from {int(y.min())} to {int(y.max())}, there are {c} classes",
                "labels are class ids 0..C-1; leave unlabelled rows out",
            )
        if seed is not None:
            self.seed = seed
        self.num_classes = c
        self._counts = np.bincount(y, minlength=c).astype(np.int64)
        small = y.astype(np.uint16) if c <= 65536 else y  # 16 bits sort by radix
        self._order = np.argsort(small, kind="stable").astype(np.int64, copy=False)
        self._starts = np.cumsum(self._counts) - self._counts
        self._present = np.flatnonzero(self._counts)
        self.on_bind()
        return self

    def draw(self, epoch: int) -> Tensor:
        """Positions of one epoch for all processes together.

        Args:
            epoch: 0-based.

        Returns:
            ``(N,)`` int64.
        """
        self._bound()
        if epoch < 0:
            raise ConfigError(f"there is no epoch {epoch}", "epochs count from 0")
        return torch.from_numpy(self.positions(epoch))

    def class_marginal(self, fraction: float = 1.0) -> Tensor:
        """``(C,)`` float64: the probability of each class when ``fraction`` of the stage is done."""
        self._bound()
        return torch.from_numpy(self.marginal(min(1.0, max(0.0, float(fraction)))))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch (0-based) that iteration draws."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        rows = self.draw(self.epoch)
        if self.pad and len(rows) % self.num_replicas:
            lack = -len(rows) % self.num_replicas
            rows = torch.cat([rows, rows[torch.arange(lack) % len(rows)]])
        yield from rows[self.rank :: self.num_replicas].tolist()

    def __len__(self) -> int:
        self._bound()
        spare = self.num_replicas - 1 if self.pad else self.num_replicas - 1 - self.rank
        return (self.size + spare) // self.num_replicas

    @property
    def size(self) -> int:
        """``N``."""
        return len(self.order)

    @property
    def order(self) -> Ints:
        """``(N,)`` rows sorted by class; those of class ``c`` start at ``starts[c]``."""
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
            raise DataError(
                f"{len(empty)} of {len(self.counts)} classes have no row to draw: {shown}",
                "number the labels 0..C-1 without gaps, or call bind_labels(labels, "
                "num_classes), which never draws such a class",
            )

    def __repr__(self) -> str:
        shown = {k: v for k, v in vars(self).items() if not k.startswith("_")}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


def _label_vector(labels: Labels) -> Ints:
    y = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if y.ndim != 1 or not len(y) or not np.issubdtype(y.dtype, np.integer):
        raise DataError(
            f"labels must be (N,) integers with N >= 1, not {y.dtype} {y.shape}",
            "give one class id for each training row",
        )
    return y.astype(np.int64, copy=False)
