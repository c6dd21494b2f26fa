"""Where inputs lie: in memory (resident) or in files (streaming). Same samples either way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from longtail.errors import DataError

__all__ = ["FileStore", "ResidentStore", "Store"]


class Store:
    """``N`` inputs that can be fetched by position.

    Images are uint8 ``(N, c, h, w)``, tables float32 ``(N, F)``, texts int32 ``(N, L)``.
    """

    #: True when all inputs are one tensor.
    resident = False
    device: torch.device = torch.device("cpu")

    def __len__(self) -> int:
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        raise NotImplementedError

    def fetch(self, index: Tensor) -> Tensor:
        """``(B, ...)`` inputs at positions ``index (B,)``, on the store's device."""
        raise NotImplementedError

    def to(self, device: torch.device | str) -> Store:
        """The same inputs, fetched on another device."""
        raise NotImplementedError

    def take(self, index: Tensor) -> Store:
        """A store of the inputs at positions ``index``, in that order."""
        raise NotImplementedError

    def batches(self, batches: Iterable[Tensor], workers: int = 0) -> Iterator[Tensor]:
        """``fetch`` of each tensor of positions, in order."""
        for index in batches:
            yield self.fetch(index)


class ResidentStore(Store):
    """Inputs in one tensor, on any device.

    Args:
        data: ``(N, ...)`` uint8 images, float32 rows or int32 tokens.
    """

    resident = True

    def __init__(self, data: Tensor) -> None:
        self.data = data
        self.device = data.device

    def __len__(self) -> int:
        return len(self.data)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape[1:])

    def fetch(self, index: Tensor) -> Tensor:
        return self.data.index_select(0, index.to(self.data.device, non_blocking=True))

    def to(self, device: torch.device | str) -> Self:
        return type(self)(self.data.to(device))

    def take(self, index: Tensor) -> Self:
        return type(self)(self.fetch(index))


class FileStore(Store):
    """Images read from files when they are asked for.

    Decoded, turned by their EXIF orientation and brought to one size by the same function as
    resident images.

    Args:
        paths: ``N`` files.
        shape: ``(c, h, w)`` of every image.
        device: where fetched batches go.
    """

    def __init__(
        self,
        paths: Sequence[str],
        shape: tuple[int, int, int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.paths = list(paths)
        self._shape = shape
        self.device = torch.device(device)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    def _read(self, index: Tensor) -> Tensor:
        from longtail.data.images import read_batch

        return read_batch([self.paths[i] for i in index.tolist()], self._shape)

    def fetch(self, index: Tensor) -> Tensor:
        return self._read(index).to(self.device)

    def to(self, device: torch.device | str) -> FileStore:
        return FileStore(self.paths, self._shape, device=device)

    def take(self, index: Tensor) -> FileStore:
        return FileStore([self.paths[i] for i in index.tolist()], self._shape, device=self.device)

    def batches(self, batches: Iterable[Tensor], workers: int = 0) -> Iterator[Tensor]:
        """``fetch`` of each tensor of positions, in order; ``workers`` processes read ahead.

        Raises:
            DataError: a file cannot be read; the message is the one ``fetch`` gives.
        """
        if workers < 1:
            yield from super().batches(batches)
            return
        pinned = self.device.type == "cuda"
        loader: torch.utils.data.DataLoader[Any] = torch.utils.data.DataLoader(
            _Reader(self),
            sampler=[b.cpu() for b in batches],
            batch_size=None,
            num_workers=workers,
            pin_memory=pinned,
            generator=torch.Generator(),  # the worker seed is not drawn from the global state
        )
        for rows in loader:
            if isinstance(rows, DataError):
                raise rows
            yield rows.to(self.device, non_blocking=pinned)


class _Reader(torch.utils.data.Dataset[Any]):
    """Map a tensor of positions to its batch; an error travels as a value, message intact."""

    def __init__(self, store: FileStore) -> None:
        self.store = store

    def __getitem__(self, index: Any) -> Tensor | DataError:
        try:
            return self.store._read(index)
        except DataError as error:
            return error
