"""What a network is fed, and the first layer that standardises it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from longtail.errors import ConfigError, DataError, UnknownNameError

__all__ = ["InputSpec", "Normalise", "TableEncoder", "build_normalise"]

INPUT_KINDS = ("image", "table", "text")
COLUMN_KINDS = ("numeric", "category")

#: name of a column, ``"numeric"`` or ``"category"``, and the known categories.
Column = tuple[str, str, tuple[str, ...]]


@dataclass(frozen=True)
class InputSpec:
    """What one input looks like; all that is needed to encode a raw one again.

    Attributes:
        kind: ``image``, ``table`` or ``text``.
        shape: of one encoded row: image ``(c, h, w)`` floats in [0, 1]; table ``(columns,)``
            float32, a category column holding its code (0 is unseen, category ``j`` is
            ``j + 1``); text ``(L,)`` int32 token ids, 0 is padding.
        mean: per channel of an image, or one a table column (category columns: ignored).
        std: likewise; a value of 0 is read as 1.
        columns: of a table, in order.
        buckets: number of token ids of a text, padding included.
        ngrams: longest word n-gram that is hashed.
        max_tokens: longest text, in token ids.
    """

    kind: str
    shape: tuple[int, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    columns: tuple[Column, ...] = ()
    buckets: int = 0
    ngrams: int = 0
    max_tokens: int = 0

    def __post_init__(self) -> None:
        if self.kind not in INPUT_KINDS:
            raise UnknownNameError("kind of input", self.kind, INPUT_KINDS)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "mean", tuple(float(v) for v in self.mean))
        object.__setattr__(self, "std", tuple(float(v) for v in self.std))
        columns = tuple((str(n), str(k), tuple(map(str, c))) for n, k, c in self.columns)
        object.__setattr__(self, "columns", columns)
        for _, kind, _ in columns:
            if kind not in COLUMN_KINDS:
                raise UnknownNameError("kind of column", kind, COLUMN_KINDS)
        rank = 3 if self.kind == "image" else 1
        if len(self.shape) != rank or min(self.shape) < 1:
            raise ConfigError(
                f"an input of kind {self.kind} cannot have the shape {self.shape}",
                "give (channels, height, width)" if rank == 3 else "give (length,)",
            )

    @property
    def encoded_shape(self) -> tuple[int, ...]:
        """Shape of one row after the first layer: what a backbone is built for."""
        if self.kind != "table" or not self.columns:
            return self.shape
        return (sum(1 if k == "numeric" else len(c) + 1 for _, k, c in self.columns),)

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        data = asdict(self)
        for key in ("shape", "mean", "std"):
            data[key] = list(data[key])
        data["columns"] = [[name, kind, list(known)] for name, kind, known in self.columns]
        return data

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> InputSpec:
        """The inverse of :meth:`to_data`."""
        return InputSpec(**data)


class Normalise(nn.Module):
    """First layer for images: ``(x - mean) / std`` per channel.

    Args:
        mean: ``c`` channel means of images in [0, 1].
        std: ``c`` channel standard deviations; 0 is read as 1.

    Shapes:
        ``(B, c, h, w)`` floats in [0, 1] to the same shape.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1))
        spread = torch.tensor([s or 1.0 for s in std], dtype=torch.float32)
        self.register_buffer("std", spread.view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Standardise a batch of images."""
        if not x.is_floating_point():
            raise DataError(
                f"images must be floats in [0, 1], not {x.dtype}",
                "divide by 255 first: x.float() / 255",
            )
        return (x - self.mean) / self.std


class TableEncoder(nn.Module):
    """First layer for tables: numeric columns standardised, category codes one-hot.

    A category column with ``K`` known categories takes ``K + 1`` features, the first of which
    marks an unseen one (code 0). Columns keep their order.

    Args:
        spec: an input spec of kind ``table``; without ``columns`` all are numeric.

    Shapes:
        ``(B, columns)`` to ``(B, F)`` with ``F = spec.encoded_shape[0]``.
    """

    mean: Tensor
    std: Tensor
    source: Tensor
    code: Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        columns = spec.columns or tuple((str(i), "numeric", ()) for i in range(spec.shape[0]))
        means = spec.mean or (0.0,) * len(columns)
        stds = spec.std or (1.0,) * len(columns)
        if not len(columns) == len(means) == len(stds) == spec.shape[0]:
            raise ConfigError(
                f"a table of {spec.shape[0]} columns has {len(columns)} column descriptions, "
                f"{len(means)} means and {len(stds)} standard deviations",
                "give one of each a column (0 and 1 for a category column)",
            )
        source, code, mean, std = [], [], [], []
        for i, (_, kind, known) in enumerate(columns):
            numeric = kind == "numeric"
            for j in [-1] if numeric else range(len(known) + 1):
                source.append(i)
                code.append(j)
                mean.append(means[i] if numeric else 0.0)
                std.append((stds[i] or 1.0) if numeric else 1.0)
        self.width = len(source)
        self.plain = source == list(range(len(columns))) and all(j < 0 for j in code)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))
        self.register_buffer("source", torch.tensor(source, dtype=torch.int64))
        self.register_buffer("code", torch.tensor(code, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Encode a batch of rows."""
        if self.plain:
            return (x - self.mean) / self.std
        x = x.index_select(1, self.source)
        return torch.where(self.code < 0, (x - self.mean) / self.std, (x == self.code).to(x.dtype))


def build_normalise(spec: InputSpec) -> nn.Module:
    """The first layer for an input spec (texts need none)."""
    if spec.kind == "table":
        return TableEncoder(spec)
    if spec.kind == "text":
        return nn.Identity()
    channels = spec.shape[0]
    mean, std = spec.mean or (0.0,) * channels, spec.std or (1.0,) * channels
    if len(mean) != channels or len(std) != channels:
        raise ConfigError(
            f"images with {channels} channels have {len(mean)} means and {len(std)} deviations",
            "give one of each a channel",
        )
    return Normalise(mean, std)
