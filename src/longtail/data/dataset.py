"""A data set as the engine sees it: stores, labels, names, and what was noticed on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from longtail.data.stores import FileStore, ResidentStore, Store
from longtail.registry import PartSpec
from longtail.types import ClassStats

if TYPE_CHECKING:
    from longtail.models.inputs import InputSpec

__all__ = ["Dataset", "Split", "fingerprint"]


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Attributes:
        store: ``N`` inputs.
        labels: ``(N,)`` int64 class ids; -1 where the label is hidden.
        ids: ``N`` names of samples: stable, unique within the data set.
        weight: ``(N,)`` float32 sample weights, or ``None``.
    """

    store: Store
    labels: Tensor
    ids: Sequence[str]
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def counts(self, num_classes: int) -> Tensor:
        """``(C,)`` int64 labelled samples a class."""
        return torch.bincount(self.labels[self.labels >= 0], minlength=num_classes)

    def take(self, index: Tensor) -> Split:
        """The samples at positions ``index``, in that order."""
        weight = None if self.weight is None else self.weight[index]
        ids = [self.ids[i] for i in index.tolist()]
        return Split(self.store.take(index), self.labels[index], ids, weight)

    def to(self, device: torch.device | str) -> Split:
        """The same samples, inputs fetched on ``device`` (labels stay on the host)."""
        return Split(self.store.to(device), self.labels, self.ids, self.weight)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training, validation and test data with everything that describes them.

    Attributes:
        name: of the source.
        modality: ``image``, ``table`` or ``text``.
        class_names: ``(C,)`` in class-id order.
        input_spec: how inputs are encoded; saved with every model.
        train: what is trained on (after all cuts).
        validation: or ``None``.
        test: or ``None``.
        unlabelled: samples whose labels are hidden, or ``None``.
        default_backbone: name of a backbone that fits.
        default_augment: default view policy, or ``None``.
        benchmark: a named benchmark keeps the 100/20 rule of shot groups.
        notes: one line each: what the user should know.
        not_evaluable: classes without a test sample.
        unreadable: files that were left out.
        fingerprint: SHA-256 over labels, ids and inputs.
    """

    name: str
    modality: str
    class_names: tuple[str, ...]
    input_spec: InputSpec
    train: Split
    validation: Split | None = None
    test: Split | None = None
    unlabelled: Split | None = None
    default_backbone: str = "mlp"
    default_augment: PartSpec | None = None
    benchmark: bool = False
    notes: tuple[str, ...] = ()
    not_evaluable: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    fingerprint: str = field(default="")

    @property
    def num_classes(self) -> int:
        """``C``."""
        return len(self.class_names)

    @property
    def counts(self) -> Tensor:
        """``(C,)`` int64 training samples a class, after all cuts."""
        return self.train.counts(self.num_classes)

    @property
    def splits(self) -> dict[str, Split]:
        """The parts that exist, by name."""
        parts = {
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
            "unlabelled": self.unlabelled,
        }
        return {k: v for k, v in parts.items() if v is not None}

    def stats(self, on_empty: str = "smooth") -> ClassStats:
        """Class statistics of the training part."""
        return ClassStats(
            self.counts, self.class_names, on_empty=on_empty, benchmark=self.benchmark
        )


def fingerprint(class_names: Sequence[str], splits: dict[str, Split]) -> str:
    """SHA-256 (hex) over class names, labels, ids and inputs; of files their size."""
    digest = hashlib.sha256()
    digest.update("\0".join(class_names).encode())
    for name, split in splits.items():
        digest.update(f"\0{name}\0{len(split)}\0".encode())
        digest.update(split.labels.to(torch.int64).numpy().tobytes())
        digest.update("\0".join(split.ids).encode("utf-8", "surrogateescape"))
        if isinstance(split.store, ResidentStore):
            digest.update(split.store.data.cpu().contiguous().numpy().data)
        elif isinstance(split.store, FileStore):
            from longtail.data.images import file_sizes

            digest.update(file_sizes(split.store.paths).tobytes())
    return digest.hexdigest()
