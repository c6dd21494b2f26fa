"""Images: files and arrays to uint8 ``(c, h, w)``, one function for every way of loading."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from longtail.data.options import Options
from longtail.errors import DataError

__all__ = [
    "EXTENSIONS",
    "Scan",
    "decode_all",
    "file_sizes",
    "fit_image",
    "pixels",
    "read_batch",
    "read_image",
    "scan",
]

EXTENSIONS = frozenset(
    (".bmp", ".gif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
RESIDENT_BYTES = 2 * 2**30
SCAN_ALL, SCAN_SOME = 5_000, 1_000
DEFAULT_SIDE, NATIVE_SIDE = 224, 256
Shape = tuple[int, int, int]


@contextmanager
def _strict() -> Iterator[None]:
    """Pillow's size limit counts as an error; its other warnings are not the user's business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _unreadable(path: str, error: BaseException) -> DataError:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        why = f"too large: over {Image.MAX_IMAGE_PIXELS} pixels"
    elif isinstance(error, FileNotFoundError):
        why = "not there"
    elif isinstance(error, UnidentifiedImageError):
        why = "empty" if os.path.getsize(path) == 0 else "no image that Pillow knows"
    else:
        why = f"broken or truncated: {str(error)[:80]}"
    return DataError(
        f"the image {path} cannot be read ({why})",
        "repair or remove it, or leave unreadable images out with the data option on_bad: skip",
    )


def _decode(path: str, shape: Shape) -> NDArray[np.uint8]:
    channels, height, width = shape
    with Image.open(path) as image:
        image.draft("L" if channels == 1 else "RGB", (2 * width, 2 * height))
        image.load()
        return fit_image(image, shape)


def fit_image(image: Image.Image, shape: Shape) -> NDArray[np.uint8]:
    """Upright, in the wanted mode, scaled over its shorter side and cut about the centre."""
    channels, height, width = shape
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith(("I", "F")):
        upright = _narrow(upright)
    upright = upright.convert("L" if channels == 1 else "RGB")
    if upright.size != (width, height):
        upright = ImageOps.fit(upright, (width, height), Image.Resampling.BILINEAR)
    rows = np.asarray(upright, dtype=np.uint8)
    return rows[None] if channels == 1 else np.ascontiguousarray(rows.transpose(2, 0, 1))


def _narrow(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and float grey levels to 8 bits by their range."""
    values = np.asarray(image, dtype=np.float64)
    top = 255.0 if values.max(initial=0) <= 255 else 65535.0
    return Image.fromarray(np.clip(values * (255.0 / top), 0, 255).round().astype(np.uint8))


def read_image(path: str, shape: Shape) -> NDArray[np.uint8]:
    """One file as uint8 ``(c, h, w)``.

    Raises:
        DataError: the file is missing, no image, truncated, or beyond Pillow's size limit.
    """
    try:
        with _strict():
            return _decode(path, shape)
    except Exception as error:  # a broken file can raise almost anything inside a decoder
        raise _unreadable(path, error) from None


def read_batch(paths: Sequence[str], shape: Shape) -> Tensor:
    """``(B, c, h, w)`` uint8 of the files, in order; see :func:`read_image`."""
    out = np.empty((len(paths), *shape), dtype=np.uint8)
    for i, path in enumerate(paths):
        out[i] = read_image(path, shape)
    return torch.from_numpy(out)


def decode_all(
    paths: Sequence[str], shape: Shape, *, keep: bool = True
) -> tuple[Tensor | None, list[tuple[int, DataError]]]:
    """All files by a few threads: ``(N, c, h, w)`` (``None`` unless ``keep``), and what failed."""
    out = np.zeros((len(paths), *shape), dtype=np.uint8) if keep else None
    bad: list[tuple[int, DataError]] = []

    def one(i: int) -> tuple[int, DataError] | None:
        try:
            rows = _decode(paths[i], shape)
        except Exception as error:  # as in read_image
            return i, _unreadable(paths[i], error)
        if out is not None:
            out[i] = rows
        return None

    threads = max(1, min(8, (os.cpu_count() or 1), len(paths) // 64))
    with _strict(), ThreadPoolExecutor(threads) as pool:
        bad.extend(r for r in pool.map(one, range(len(paths)), chunksize=64) if r)
    return (None if out is None else torch.from_numpy(out)), bad


@dataclass(frozen=True)
class Scan:
    """What the headers of files say: shape for all, and whether they fit in memory."""

    shape: Shape
    resident: bool


def scan(paths: Sequence[str], options: Options, size: tuple[int, int] | None = None) -> Scan:
    """Choose one size and channel count for all images, by their headers.

    The size is the option's, else the source's, else the images' own when all agree and are at
    most 256 pixels, else a square of their median shorter side, 224 at most. One channel when
    all are grey. Resident when decoded images take less than 2 GiB, or as the option says.
    """
    step = 1 if len(paths) <= SCAN_ALL else len(paths) // SCAN_SOME
    found: list[tuple[int, int]] = []
    grey = True
    with _strict():
        for path in paths[::step]:
            try:
                with Image.open(path) as image:
                    width, height = image.size
                    turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
                    found.append((width, height) if turned else (height, width))
                    grey &= image.mode in ("1", "L") or image.mode.startswith(("I", "F"))
            except Exception:  # named when it is decoded, or skipped there
                continue
    size = options.size or size or _common_size(found)
    shape = (1 if grey and found else 3, *size)
    fits = len(paths) * int(np.prod(shape)) < RESIDENT_BYTES
    return Scan(shape, fits if options.resident is None else options.resident)


def _common_size(found: list[tuple[int, int]]) -> tuple[int, int]:
    if not found:
        return DEFAULT_SIDE, DEFAULT_SIDE
    if len(set(found)) == 1 and max(found[0]) <= NATIVE_SIDE:
        return found[0]
    side = int(np.median([min(s) for s in found]))
    side = min(DEFAULT_SIDE, max(8, side // 8 * 8))
    return side, side


def file_sizes(paths: Sequence[str]) -> NDArray[np.int64]:
    """Bytes of each file; -1 where it cannot be asked."""
    sizes = np.full(len(paths), -1, dtype=np.int64)
    for i, path in enumerate(paths):
        try:
            sizes[i] = os.stat(path).st_size
        except OSError:
            continue
    return sizes


def pixels(values: Any, *, shape: Shape | None = None) -> Tensor:
    """Arrays of images to uint8 ``(N, c, h, w)``.

    Args:
        values: ``(N, h, w)``, ``(N, h, w, c)`` or ``(N, c, h, w)`` with 1 or 3 channels;
            whole numbers 0-255, or floats in [0, 1].
        shape: the wanted ``(c, h, w)``, when it is known.

    Raises:
        DataError: another shape, another range, or NaN.
    """
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and not _channels_first(array.shape, isinstance(values, Tensor)):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        raise DataError(
            f"images must be (N, h, w), (N, h, w, c) or (N, c, h, w), not {np.shape(values)}",
            "give 1 or 3 channels (drop an alpha channel)",
        )
    array = _eight_bits(array)
    if shape is not None and tuple(array.shape[1:]) != tuple(shape):
        raise DataError(
            f"images have the shape {tuple(array.shape[1:])} and the model expects {tuple(shape)}",
            "resize them first, or give files, which are resized",
        )
    return torch.from_numpy(np.array(array, order="C"))


def _channels_first(shape: tuple[int, ...], tensor: bool) -> bool:
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    return first and (tensor or not last)


def _eight_bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind in "iu" and low >= 0 and high <= 255:
        return array.astype(np.uint8)
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.asarray((array * 255).round(), dtype=np.uint8)
    raise DataError(
        f"image values run from {low} to {high} ({array.dtype})",
        "give whole numbers from 0 to 255, or floats from 0 to 1",
    )
