"""Image sets as ``.npz`` of lossless WebP strips, and plain ``.npz`` of arrays."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from longtail.errors import DataError

__all__ = ["open_npz", "read_chunked"]


def open_npz(path: str | Path) -> dict[str, NDArray[Any]]:
    """All arrays of a ``.npz`` file; pickled objects in it are refused, never run."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except FileNotFoundError:
        raise DataError(f"there is no file {path}", "check the path") from None
    except ValueError as error:
        if not zipfile.is_zipfile(path):
            raise _broken(path, "it is no zip archive") from None
        if "pickle" not in str(error):
            raise _broken(path, error) from None
        raise DataError(
            f"{path} holds pickled Python objects, which are not read",
            "save plain arrays: np.savez(path, x=..., y=labels.astype(str))",
        ) from None
    except (OSError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise _broken(path, error) from None


def _broken(path: str | Path, error: object) -> DataError:
    return DataError(
        f"{path} is no readable .npz file ({str(error)[:80]})", "write it again with np.savez"
    )


def read_chunked(path: str | Path) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
    """Images ``(N, c, h, w)`` uint8 of a strip file, and its columns (``labels``, ``index`` ...).

    The file holds ``labels``, ``image_shape`` and ``chunk_000``, ``chunk_001``, ...: the bytes of
    WebP pictures, each a stack of images from top to bottom.

    Raises:
        DataError: the file is missing, damaged, or its images and labels differ in number.
    """
    stored = open_npz(path)
    chunks = sorted(k for k in stored if k.startswith("chunk_"))
    if not chunks or not {"labels", "image_shape"} <= set(stored):
        raise DataError(
            f"{path} holds no image strips", "it needs the arrays labels, image_shape and chunk_000"
        )
    height, width, *rest = (int(v) for v in stored["image_shape"])
    mode, channels = ("RGB", 3) if rest else ("L", 1)
    strips = []
    for key in chunks:
        try:
            with Image.open(io.BytesIO(stored[key].tobytes())) as strip:
                rows = np.asarray(strip.convert("RGB"), dtype=np.uint8)
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(
                f"{key} of {path} cannot be decoded ({str(error)[:80]})",
                "the file is damaged, or Pillow was built without WebP",
            ) from None
        rows = rows if mode == "RGB" else rows[..., :1]
        strips.append(rows.reshape(-1, height, width, channels))
    images = np.ascontiguousarray(np.concatenate(strips).transpose(0, 3, 1, 2))
    columns = {k: v for k, v in stored.items() if k not in chunks}
    if len(images) != len(columns["labels"]):
        raise DataError(
            f"{path} has {len(images)} images and {len(columns['labels'])} labels",
            "the file is damaged; fetch it again",
        )
    return images, columns
