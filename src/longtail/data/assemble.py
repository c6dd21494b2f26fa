"""From what a source read to a data set: classes, splits, encoding, stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtail.data import encode, images
from longtail.data.dataset import Dataset, Split, fingerprint
from longtail.data.options import Options, suggest
from longtail.data.raw import Raw, Rows
from longtail.data.splits import labelled_rows, tail_safe_split
from longtail.data.stores import FileStore, ResidentStore, Store
from longtail.errors import DataError
from longtail.labels import class_order
from longtail.registry import PartSpec, part

if TYPE_CHECKING:
    from longtail.models.inputs import InputSpec

__all__ = ["assemble", "default_augment", "default_backbone"]

LABELLED = ("train", "validation", "test")


def assemble(raw: Raw, options: Options) -> Dataset:
    """Order the classes, cut what is missing, encode, and say what was noticed."""
    parts = {k: v for k, v in raw.parts.items() if len(v)}
    if raw.modality == "image":
        parts = _read_images(parts, raw, options)
    parts = _name_labels(parts, raw.class_names)
    names = _classes(parts, raw)
    parts = _cut(parts, names, options)
    parts = _hide(parts, names, options)
    if not len(parts.get("train", ())):
        raise DataError(f"{raw.name} has no training sample", "give at least one labelled row")
    spec, stores = _encode(parts, raw, options)
    splits = {}
    for key, rows in parts.items():
        weight = None if rows.weight is None else torch.from_numpy(rows.weight)
        hidden = key == "unlabelled"
        ids = np.full(len(rows), -1) if hidden else _ids(rows.labels, names)
        labels = torch.from_numpy(ids.astype(np.int64))
        splits[key] = Split(stores[key], labels, rows.ids, weight)
    dataset = Dataset(
        name=options.name or raw.name,
        modality=raw.modality,
        class_names=names,
        input_spec=spec,
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        unlabelled=splits.get("unlabelled"),
        default_backbone=raw.default_backbone or default_backbone(raw.modality, spec.shape),
        default_augment=_augment(raw, spec.shape),
        benchmark=raw.benchmark,
        notes=(*raw.notes, *_notes(parts, names)),
        not_evaluable=_not_evaluable(parts, names),
        unreadable=tuple(raw.unreadable),
        fingerprint=fingerprint(names, splits),
    )
    return dataset


def _read_images(parts: dict[str, Rows], raw: Raw, options: Options) -> dict[str, Rows]:
    """Decode what fits in memory; leave out what cannot be read, or say which file it is."""
    files = {k: v for k, v in parts.items() if isinstance(v.inputs, list)}
    if not files:
        return parts
    paths = [p for v in files.values() for p in v.inputs]
    found = images.scan(paths, options, raw.image_size)
    raw.image_size = (found.shape[1], found.shape[2])
    out = dict(parts)
    check = found.resident or options.on_bad == "skip"
    for key, rows in files.items():
        tensor: Tensor | None = None
        bad: list[tuple[int, DataError]] = []
        if check:
            tensor, bad = images.decode_all(rows.inputs, found.shape, keep=found.resident)
        if bad and options.on_bad == "error":
            raise bad[0][1]
        raw.unreadable += [rows.ids[i] for i, _ in bad]
        kept = np.setdiff1d(np.arange(len(rows)), [i for i, _ in bad])
        rows = rows if tensor is None else rows.with_(inputs=tensor)
        out[key] = rows.take(kept) if bad else rows
    if not found.resident:
        raw.notes.append(f"{len(paths)} images are read from their files while training")
        raw.shape = found.shape
    if raw.unreadable:
        listed = ", ".join(raw.unreadable[:5]) + (", ..." if len(raw.unreadable) > 5 else "")
        raw.notes.append(f"{len(raw.unreadable)} unreadable images were left out: {listed}")
    return {k: v for k, v in out.items() if len(v)}


def _name_labels(parts: dict[str, Rows], names: tuple[str, ...]) -> dict[str, Rows]:
    """Where class names are given and labels are none of them: whole numbers that point at them."""
    labels = {w for k in LABELLED if k in parts for w in parts[k].labels} - {""}
    if not names or labels <= set(names):
        return parts
    odd = sorted(w for w in labels if not (w.isdigit() and int(w) < len(names)))
    if odd:
        raise DataError(
            f"the label {odd[0]!r} is none of the {len(names)} class names given",
            suggest(odd[0], names),
        )
    return {
        k: v.with_(labels=[names[int(w)] if w else w for w in v.labels]) for k, v in parts.items()
    }


def _classes(parts: dict[str, Rows], raw: Raw) -> tuple[str, ...]:
    """Class names in order; a declared class that occurs nowhere is dropped, and said."""
    seen = {w for k in LABELLED if k in parts for w in parts[k].labels}
    if "" in seen:
        row = next(r for k in LABELLED if k in parts for r in _empty(parts[k]))
        raise DataError(f"the label of {row} is empty", "give every row a label, or drop the row")
    if raw.class_names:
        names = tuple(n for n in raw.class_names if n in seen)
        absent = len(raw.class_names) - len(names)
        if absent:
            raw.notes.append(f"{absent} of the listed classes have no sample and are left out")
    else:
        names = class_order(seen)
    if len(names) < 2:
        raise DataError(
            f"{raw.name} has {len(names)} class{'' if len(names) == 1 else 'es'}"
            + (f" ({names[0]!r})" if names else ""),
            "a classifier needs at least two; check the label column or the folders",
        )
    return names


def _empty(rows: Rows) -> list[str]:
    return [i for i, w in zip(rows.ids, rows.labels) if w == ""]


def _ids(labels: Sequence[str], names: tuple[str, ...]) -> NDArray[np.int64]:
    of = {name: i for i, name in enumerate(names)}
    return np.asarray([of[w] for w in labels], dtype=np.int64)


def _cut(parts: dict[str, Rows], names: tuple[str, ...], options: Options) -> dict[str, Rows]:
    """Cut the test part, and the validation part when it is wanted, from training rows."""
    test = "test" not in parts
    validation = options.validation if "validation" not in parts else False
    if "train" not in parts or not (test or validation):
        return parts
    train = parts["train"]
    cut = tail_safe_split(
        _ids(train.labels, names), names, train.ids, seed=options.seed,
        test=test, validation=validation, group=train.group,
    )  # fmt: skip
    pieces = {k: train.take(at) for k, at in cut.items()}
    return {k: v for k, v in {**parts, **pieces}.items() if len(v)}


def _hide(parts: dict[str, Rows], names: tuple[str, ...], options: Options) -> dict[str, Rows]:
    """Keep the labels of a share of the training rows; the others become unlabelled."""
    if options.labelled_share is None or options.labelled_share == 1:
        return parts
    train = parts["train"]
    kept, hidden = labelled_rows(
        _ids(train.labels, names), names, train.ids, options.labelled_share, options.seed
    )
    out = {**parts, "train": train.take(kept)}
    if "unlabelled" in parts:
        raise DataError(
            "labelled_share hides labels, and the data has an unlabelled part already",
            "leave out one of the two",
        )
    if len(hidden):
        out["unlabelled"] = train.take(hidden)
    return out


def _encode(
    parts: dict[str, Rows], raw: Raw, options: Options
) -> tuple[InputSpec, dict[str, Store]]:
    train = parts["train"].inputs
    if raw.modality == "image":
        stores: dict[str, Store] = {}
        for key, rows in parts.items():
            if isinstance(rows.inputs, list):
                assert raw.shape is not None
                stores[key] = FileStore(rows.inputs, raw.shape)
            else:
                stores[key] = ResidentStore(rows.inputs)
        return encode.fit_image_spec(stores["train"]), stores
    if raw.modality == "text":
        spec = encode.fit_text_spec(train, options.max_tokens)
    else:
        spec = encode.fit_table_spec(train, raw.notes)
    encoder = encode.Encoder(spec)
    return spec, {k: ResidentStore(encoder(v.inputs)) for k, v in parts.items()}


def default_backbone(modality: str, shape: tuple[int, ...]) -> str:
    """Name of the backbone for encoded inputs of that shape, unless the source or user says."""
    if modality != "image":
        return "mlp" if modality == "table" else "hashed_text"
    side = min(shape[1:])
    if side <= 28 or (shape[0] == 1 and side <= 64):
        return "small_cnn"
    return "resnet32" if side <= 64 else "resnet18"


def default_augment(modality: str, shape: tuple[int, ...]) -> PartSpec | None:
    """The view policy for encoded inputs of that shape, unless the source or user says.

    Grey images are shifted and never mirrored: they are often glyphs, which a mirror changes.
    """
    if modality != "image":
        return None
    side = min(shape[1:])
    if side < 16:
        return part("shift", pixels=1)
    return part("crop_flip", padding=max(1, side // 8), flip=shape[0] > 1)


def _augment(raw: Raw, shape: tuple[int, ...]) -> PartSpec | None:
    if raw.modality != "image" or raw.default_augment == "auto":
        return default_augment(raw.modality, shape)
    assert not isinstance(raw.default_augment, str)
    return raw.default_augment


def _not_evaluable(parts: dict[str, Rows], names: tuple[str, ...]) -> tuple[str, ...]:
    tested = set(parts["test"].labels) if "test" in parts else set()
    return tuple(n for n in names if n not in tested)


def _notes(parts: dict[str, Rows], names: tuple[str, ...]) -> list[str]:
    notes = []
    trained = Counter(parts["train"].labels)
    unseen = [n for n in names if not trained[n]]
    if unseen:
        notes.append(
            f"{len(unseen)} classes occur only in validation or test and are never trained on: "
            + _listed(unseen)
        )
    lost = [n for n in _not_evaluable(parts, names) if trained[n]]
    if lost:
        notes.append(
            f"{len(lost)} classes have no test sample, so are not evaluable: {_listed(lost)}"
        )
    return notes


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f", ... ({len(names)} in all)" if len(names) > 8 else "")
