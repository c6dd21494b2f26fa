"""From raw inputs to tensors: fitted on the training rows, kept in the model's input spec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from longtail.data import images, tables, text
from longtail.data.raw import Table
from longtail.data.stores import FileStore, ResidentStore, Store
from longtail.errors import DataError

if TYPE_CHECKING:
    from longtail.models.inputs import InputSpec

__all__ = ["Encoder", "fit_image_spec", "fit_table_spec", "fit_text_spec"]

SAMPLED, CHUNK = 2_048, 4_096


def fit_image_spec(store: Store) -> InputSpec:
    """Channel means and deviations in [0, 1]; of files, those of up to 2,048 training images."""
    from longtail.models.inputs import InputSpec

    total = torch.zeros(store.shape[0], dtype=torch.float64)
    square, count = total.clone(), 0
    step = 1 if store.resident else max(1, len(store) // SAMPLED)
    positions = torch.arange(0, len(store), step)
    for index in torch.split(positions, CHUNK if store.resident else 256):
        levels = store.fetch(index).to(torch.float64) / 255
        total += levels.sum((0, 2, 3))
        square += (levels**2).sum((0, 2, 3))
        count += levels[:, 0].numel()
    mean = total / max(1, count)
    std = (square / max(1, count) - mean**2).clamp(min=0).sqrt()
    std = torch.where(std < 1e-3, torch.ones_like(std), std)
    return InputSpec(
        kind="image", shape=store.shape, mean=tuple(mean.tolist()), std=tuple(std.tolist())
    )


def fit_table_spec(table: Table, notes: list[str]) -> InputSpec:
    """Column kinds and categories; means and deviations of numeric columns (0 and 1 of words)."""
    from longtail.models.inputs import InputSpec

    columns = tables.fit_columns(table, notes)
    rows = tables.encode_table(table, columns).to(torch.float64)
    numeric = torch.tensor([kind == "numeric" for _, kind, _ in columns])
    mean = torch.where(numeric, rows.mean(0), 0.0)
    std = torch.where(numeric, rows.std(0, correction=0), 1.0)
    std = torch.where(std < 1e-12, torch.ones_like(std), std)
    return InputSpec(
        kind="table",
        shape=(len(columns),),
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
        columns=columns,
    )


def fit_text_spec(texts: Sequence[str], max_tokens: int | None) -> InputSpec:
    """Length by the training texts, unless it is given."""
    from longtail.models.inputs import InputSpec

    length = text.choose_length(texts) if max_tokens is None else int(max_tokens)
    if length < 1:
        raise DataError(f"max_tokens={max_tokens} leaves nothing of a text", "give at least 1")
    return InputSpec(
        kind="text",
        shape=(length,),
        buckets=text.BUCKETS,
        ngrams=text.NGRAMS,
        max_tokens=length,
    )


class Encoder:
    """Turn raw inputs into what the model was trained on.

    Example:
        >>> Encoder(spec)(["a text", "another"])  # doctest: +SKIP

    Args:
        spec: the input spec of a data set or a saved model.
    """

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec

    def __call__(self, inputs: Any) -> Tensor:
        """``(N, ...)`` uint8 images, float32 rows or int32 tokens, checked against the spec.

        Args:
            inputs: images as files, PIL images or arrays; texts; a table as a data frame, an
                array, a mapping of columns or a list of rows; or what a source read.
        """
        if self.spec.kind == "image":
            return self._images(inputs)
        if self.spec.kind == "text":
            return text.encode_texts(
                [inputs] if isinstance(inputs, str) else [_plain(t) for t in inputs],
                max_tokens=self.spec.max_tokens,
                buckets=self.spec.buckets,
                ngrams=self.spec.ngrams,
            )
        return tables.encode_table(self._table(inputs), self.spec.columns)

    def store(self, inputs: Any) -> Store:
        """A store: files stay files, anything else becomes resident."""
        if self.spec.kind == "image" and _are_files(inputs):
            return FileStore([str(p) for p in inputs], self._shape)
        return ResidentStore(self(inputs))

    @property
    def _shape(self) -> images.Shape:
        channels, height, width = self.spec.shape
        return channels, height, width

    def _images(self, inputs: Any) -> Tensor:
        if isinstance(inputs, str | Path):
            inputs = [inputs]
        if _are_files(inputs):
            return images.read_batch([str(p) for p in inputs], self._shape)
        if isinstance(inputs, list | tuple) and inputs and hasattr(inputs[0], "convert"):
            return torch.from_numpy(np.stack([images.fit_image(i, self._shape) for i in inputs]))
        return images.pixels(inputs, shape=self._shape)

    def _table(self, inputs: Any) -> Table:
        names = [name for name, _, _ in self.spec.columns]
        if isinstance(inputs, Table):
            return inputs
        if hasattr(inputs, "columns") and hasattr(inputs, "iloc"):
            return tables.from_frame(inputs)
        if isinstance(inputs, dict):
            rows = len(next(iter(inputs.values()), ()))
            return tables.from_strings(inputs, rows)
        array = inputs if isinstance(inputs, Tensor) else np.asarray(inputs)
        if array.ndim == 2 and array.shape[1] != len(names):
            raise DataError(
                f"rows have {array.shape[1]} values and the model expects {len(names)}",
                f"give the columns {', '.join(names[:12])}",
            )
        return tables.from_array(array, names)


def _are_files(inputs: Any) -> bool:
    return isinstance(inputs, list | tuple) and bool(inputs) and isinstance(inputs[0], str | Path)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, np.str_) else value
