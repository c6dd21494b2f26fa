"""Built-in sets that fit in memory: digits-lt, Fashion-MNIST-LT, CIFAR-10-LT, CIFAR-100-LT."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from longtail.data import archives, names
from longtail.data.chunked import read_chunked
from longtail.data.options import Options
from longtail.data.profiles import profile_counts, select, select_prefix
from longtail.data.raw import Raw, Rows
from longtail.errors import ConfigError, DataError
from longtail.registry import part

__all__ = ["cifar10_lt", "cifar100_lt", "digits_lt", "fashion_mnist_lt"]

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

DIGITS_LARGEST, DIGITS_TEST = 120, 50
_PATH_OPTIONS = (
    "kind", "label", "text", "path_column", "columns", "root", "delimiter", "classes",
    "train", "validation_list", "test", "max_tokens", "image_size",
)  # fmt: skip


def _rows(images: Images, labels: Labels, class_names: tuple[str, ...], ids: list[str]) -> Rows:
    words = [class_names[c] for c in labels.tolist()]
    return Rows(torch.from_numpy(np.ascontiguousarray(images)), words, ids)


def _digits() -> tuple[NDArray[np.float64], Labels]:
    """Grey levels 0-16 ``(N, 1, 8, 8)`` and labels, in file order.

    Read from scikit-learn's file, because importing its data sets takes a second and moves
    Python's global random state.
    """
    found = find_spec("sklearn")
    origin = Path(found.origin) if found is not None and found.origin else Path()
    path = origin.parent / "datasets" / "data" / "digits.csv.gz"
    if path.is_file():
        with gzip.open(path, "rt", encoding="ascii") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.float64)
    else:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        table = np.column_stack([bunch.data, bunch.target])
    return table[:, :64].reshape(-1, 1, 8, 8), table[:, 64].astype(np.int64)


def digits_lt(options: Options) -> Raw:
    """Handwritten digits of scikit-learn, 8 x 8 grey, long-tailed; needs no files.

    Per class the samples in file order are permuted by ``RandomState(0)``; the first 50 are the
    test set, the next ``int(120 * IF ** (-i / 9))`` training samples (``IF`` is 50 by default).
    """
    options.refuse("digits-lt", *_PATH_OPTIONS, "data_root")
    levels, labels = _digits()
    images = (levels * (255 / 16)).round().astype(np.uint8)
    counts = profile_counts(
        DIGITS_LARGEST,
        10,
        imbalance_factor=50 if options.imbalance_factor is None else options.imbalance_factor,
        profile=options.profile,
    )
    stream = np.random.RandomState(0)
    train, test = [], []
    for c, wanted in enumerate(counts.tolist()):
        order = stream.permutation(np.flatnonzero(labels == c))
        test.append(order[:DIGITS_TEST])
        train.append(order[DIGITS_TEST : DIGITS_TEST + wanted])
    digits = tuple(str(i) for i in range(10))
    parts = {
        name: _rows(images[at], labels[at], digits, [f"digit/{i}" for i in at.tolist()])
        for name, at in (("train", np.concatenate(train)), ("test", np.concatenate(test)))
    }
    return Raw(
        "digits-lt", "image", parts, digits,
        default_backbone="small_cnn", default_augment=part("shift", pixels=1),
    )  # fmt: skip


@dataclass(frozen=True)
class _Set:
    """A set with published long-tailed training parts."""

    name: str
    stem: str
    folders: tuple[str, ...]
    class_names: tuple[str, ...]
    largest: int
    backbone: str
    originals: Callable[[list[Path]], archives.Original | None]
    original_files: str
    extra: bool = True


def _build(info: _Set, options: Options) -> Raw:
    options.refuse(info.name, *_PATH_OPTIONS)
    factor = 100.0 if options.imbalance_factor is None else float(options.imbalance_factor)
    places = [options.folder, *(options.folder / f for f in info.folders)]
    original = info.originals(places)
    classes = len(info.class_names)
    largest = info.largest if original is None else len(original.train_labels) / classes
    counts = profile_counts(largest, classes, imbalance_factor=factor, profile=options.profile)
    if original is not None:
        at = select(original.train_labels, counts)
        parts = {
            "train": _rows(
                original.train_images[at], original.train_labels[at], info.class_names,
                [f"train/{i}" for i in at.tolist()],
            ),
            "test": _rows(
                original.test_images, original.test_labels, info.class_names,
                [f"test/{i}" for i in range(len(original.test_labels))],
            ),
        }  # fmt: skip
    else:
        parts = _from_strips(info, options, places, counts, factor)
    return Raw(
        info.name, "image", parts, info.class_names, benchmark=True,
        default_backbone=info.backbone, default_augment=part("crop_flip", padding=4),
    )  # fmt: skip


def _from_strips(
    info: _Set, options: Options, places: list[Path], counts: Labels, factor: float
) -> dict[str, Rows]:
    """The long-tailed strip files: IF 100 and above, and with the extra file IF 50 and above."""
    train, test = f"{info.stem}_lt_if100_train.npz", f"{info.stem}_test.npz"
    extra = f"{info.stem}_lt_if50_extra_train.npz"
    needed = [train, test]
    if info.extra and factor < 100:
        needed.insert(1, extra)
    found = {name: _find(places, name) for name in needed}
    lacking = [name for name, path in found.items() if path is None]
    if lacking:
        raise _missing(info, options.folder, lacking)
    lowest = 50 if info.extra else 100
    if factor < lowest or options.profile != "exponential":
        raise ConfigError(
            f"{info.name} with imbalance_factor={factor:g} and profile={options.profile} "
            "needs the original files",
            f"put {info.original_files} in {options.folder}, "
            f"or use the exponential profile with a factor of at least {lowest}",
        )
    pieces = [_strip(path, "train") for name, path in found.items() if path and name != test]
    images, labels = (np.concatenate([p[k] for p in pieces]) for k in (0, 1))
    ids = [i for p in pieces for i in p[2]]
    at = select_prefix(labels, counts)
    test_path = found[test]
    assert test_path is not None
    test_images, test_labels, test_ids = _strip(test_path, "test")
    return {
        "train": _rows(images[at], labels[at], info.class_names, [ids[i] for i in at.tolist()]),
        "test": _rows(test_images, test_labels, info.class_names, test_ids),
    }


def _strip(path: Path, word: str) -> tuple[Images, Labels, list[str]]:
    images, columns = read_chunked(path)
    index: Any = columns.get("index")
    positions = range(len(images)) if index is None else index.tolist()
    return images, columns["labels"].astype(np.int64), [f"{word}/{i}" for i in positions]


def _find(places: list[Path], name: str) -> Path | None:
    return next((p / name for p in places if (p / name).is_file()), None)


def _missing(info: _Set, folder: Path, lacking: list[str]) -> DataError:
    return DataError(
        f"{info.name} lacks {', '.join(lacking)} in {folder} or {folder / info.folders[0]}",
        f"put them there, or {info.original_files}; "
        "another folder: --data-root DIR (or LONGTAIL_DATA)",
    )


def fashion_mnist_lt(options: Options) -> Raw:
    """Fashion-MNIST-LT: 10 kinds of clothing, 28 x 28 grey; test set balanced (10,000)."""
    info = _Set(
        "fashion-mnist-lt", "fashion_mnist",
        ("fashion_mnist", "fashion-mnist", "FashionMNIST/raw", "FashionMNIST"),
        names.FASHION_MNIST, 6000, "small_cnn", archives.fashion_mnist,
        "train-images-idx3-ubyte(.gz) and the three files beside it", extra=False,
    )  # fmt: skip
    return _build(info, options)


def cifar10_lt(options: Options) -> Raw:
    """CIFAR-10-LT: 10 classes, 32 x 32 colour; test set balanced (10,000)."""
    info = _Set(
        "cifar10-lt", "cifar10", ("cifar10", "cifar-10"), names.CIFAR10, 5000, "resnet32",
        archives.cifar10, "the unpacked folder cifar-10-batches-py or cifar-10-batches-bin",
    )  # fmt: skip
    return _build(info, options)


def cifar100_lt(options: Options) -> Raw:
    """CIFAR-100-LT: 100 classes, 32 x 32 colour; test set balanced (10,000)."""
    info = _Set(
        "cifar100-lt", "cifar100", ("cifar100", "cifar-100"), names.CIFAR100, 500, "resnet32",
        archives.cifar100, "the unpacked folder cifar-100-python or cifar-100-binary",
    )  # fmt: skip
    return _build(info, options)
