"""Original files of CIFAR and Fashion-MNIST, read without running anything in them."""

from __future__ import annotations

import codecs
import gzip
import io
import pickle
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtail.errors import DataError

__all__ = ["Original", "cifar10", "cifar100", "fashion_mnist", "read_idx", "read_pickle"]

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Original:
    """A full set: images ``(N, c, h, w)`` uint8 and labels ``(N,)`` in original order."""

    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels


_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED: dict[tuple[str, str], Any] = {
    (module, "_reconstruct"): _RECONSTRUCT
    for module in ("numpy.core.multiarray", "numpy._core.multiarray")
}
_ALLOWED |= {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,
}


class _Unpickler(pickle.Unpickler):
    """Plain containers, strings, numbers and NumPy arrays; anything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}") from None


def read_pickle(path: Path) -> dict[str, Any]:
    """A CIFAR batch: a dictionary of arrays, lists and strings; keys as text.

    Raises:
        DataError: the file is damaged, or asks for anything but arrays and plain values.
    """
    try:
        found = _Unpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise almost anything
        raise DataError(
            f"{path} is no safe CIFAR batch ({str(error)[:80]})",
            "use the file of the original archive; other pickles are never run",
        ) from None
    if not isinstance(found, dict):
        raise DataError(f"{path} is no CIFAR batch", "use the file of the original archive")
    return {k.decode() if isinstance(k, bytes) else str(k): v for k, v in found.items()}


def _python_batch(path: Path, key: str) -> tuple[Images, Labels]:
    batch = read_pickle(path)
    try:
        data = np.asarray(batch["data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
        labels = np.asarray(batch[key], dtype=np.int64)
        if labels.shape != (len(data),):
            raise ValueError("images and labels differ in number")
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{path} is no CIFAR batch ({error})", "use the file of the original archive"
        ) from None
    return data, labels


def _binary_batch(path: Path, column: int, columns: int) -> tuple[Images, Labels]:
    raw = np.fromfile(path, dtype=np.uint8)
    record = columns + 3072
    if len(raw) == 0 or len(raw) % record:
        raise DataError(
            f"{path} is truncated ({len(raw)} bytes, records of {record})", "fetch it again"
        )
    rows = raw.reshape(-1, record)
    return rows[:, columns:].reshape(-1, 3, 32, 32), rows[:, column].astype(np.int64)


def _join(
    folder: Path,
    train: list[str],
    test: str,
    read: Callable[[Path], tuple[Images, Labels]],
) -> Original | None:
    if not folder.is_dir():
        return None
    lacking = [n for n in (*train, test) if not (folder / n).is_file()]
    if lacking:
        raise DataError(f"{folder} lacks {', '.join(lacking)}", "unpack the original archive again")
    batches = [read(folder / n) for n in train]
    images, labels = (np.concatenate([b[k] for b in batches]) for k in (0, 1))
    test_images, test_labels = read(folder / test)
    return Original(images, labels.astype(np.int64), test_images, test_labels)


def _first(places: list[Path], readers: list[Callable[[Path], Original | None]]) -> Original | None:
    for place in places:
        for read in readers:
            found = read(place)
            if found is not None:
                return found
    return None


def cifar10(places: list[Path]) -> Original | None:
    """``cifar-10-batches-py`` or ``cifar-10-batches-bin`` in one of the places."""
    python = [f"data_batch_{i}" for i in range(1, 6)]
    return _first(
        places,
        [
            lambda p: _join(
                p / "cifar-10-batches-py", python, "test_batch",
                lambda f: _python_batch(f, "labels"),
            ),
            lambda p: _join(
                p / "cifar-10-batches-bin", [f"{n}.bin" for n in python], "test_batch.bin",
                lambda f: _binary_batch(f, 0, 1),
            ),
        ],
    )  # fmt: skip


def cifar100(places: list[Path]) -> Original | None:
    """``cifar-100-python`` or ``cifar-100-binary`` in one of the places; fine labels."""
    return _first(
        places,
        [
            lambda p: _join(
                p / "cifar-100-python", ["train"], "test", lambda f: _python_batch(f, "fine_labels")
            ),
            lambda p: _join(
                p / "cifar-100-binary", ["train.bin"], "test.bin",
                lambda f: _binary_batch(f, 1, 2),
            ),
        ],
    )  # fmt: skip


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An ``idx-ubyte`` file, plain or ``.gz``.

    Raises:
        DataError: the file is damaged or truncated.
    """
    try:
        raw = path.read_bytes()
        data = gzip.decompress(raw) if path.suffix == ".gz" else raw
        zero, kind, dims = struct.unpack(">HBB", data[:4])
        shape = struct.unpack(f">{dims}I", data[4 : 4 + 4 * dims])
        if zero != 0 or kind != 8:
            raise ValueError("not of unsigned bytes")
        return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * dims).reshape(shape).copy()
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise DataError(
            f"{path} is no readable idx file ({str(error)[:80]})", "fetch it again"
        ) from None


def fashion_mnist(places: list[Path]) -> Original | None:
    """The four ``idx-ubyte`` files (``.gz`` or not) in one of the places."""
    wanted = [
        f"{part}-{kind}-idx{dims}-ubyte"
        for part in ("train", "t10k")
        for kind, dims in (("images", 3), ("labels", 1))
    ]
    for place in places:
        found = [
            next((p for p in (place / n, place / f"{n}.gz") if p.is_file()), None) for n in wanted
        ]
        if all(found):
            images, labels, test_images, test_labels = (read_idx(p) for p in found if p)
            return Original(
                images[:, None], labels.astype(np.int64), test_images[:, None],
                test_labels.astype(np.int64),
            )  # fmt: skip
    return None
