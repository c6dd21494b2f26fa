"""``load``: one door for names, paths, arrays and data frames."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from longtail.data import arrays, folder, lists, manifest
from longtail.data.assemble import assemble
from longtail.data.dataset import Dataset
from longtail.data.options import KINDS, Options
from longtail.data.raw import Raw
from longtail.errors import DataError, UnknownNameError, nearest
from longtail.registry import get, records

__all__ = ["load", "read"]

Reader = Callable[[Path, Options], Raw]

_BY_SUFFIX: dict[str, str] = {
    ".csv": "csv", ".tsv": "csv", ".npz": "npz", ".parquet": "parquet", ".pq": "parquet",
    ".txt": "lists", ".lst": "lists", ".json": "json",
}  # fmt: skip
_READERS: dict[str, Reader] = {
    "csv": manifest.from_csv,
    "parquet": manifest.from_parquet,
    "folder": folder.from_folder,
    "lists": lists.from_lists,
    "json": lists.from_json,
    "npz": arrays.from_npz,
}
_YAML = (".yaml", ".yml")
_PATHS = ("data_root", "root", "train", "validation_list", "test")


def load(
    data: Any,
    *,
    data_root: str | Path | None = None,
    imbalance_factor: float | None = None,
    profile: str = "exponential",
    seed: int = 0,
    validation: bool | float = False,
    labelled_share: float | None = None,
    image_size: int | tuple[int, int] | None = None,
    **options: Any,
) -> Dataset:
    """Read a data set, split it tail-safely where it is not split, and encode it.

    Args:
        data: a built-in name (``digits-lt``); a folder of images, a CSV, Parquet, ``.npz``,
            list (``path label``), JSON or YAML file; ``(X, y)`` arrays; a mapping of arrays; a
            data frame with a label column; a ``Dataset`` (returned as it is).
        data_root: folder of the built-in sets' files (else ``LONGTAIL_DATA``, else ``./data``).
        imbalance_factor: of built-in sets; ``None`` is their default.
        profile: ``exponential`` or ``step``.
        seed: of the splits; it belongs to the data, not to the run.
        validation: cut a validation part if there is none: ``True`` is 10 %, or a share.
        labelled_share: keep the labels of this share of training rows, at least one a class.
        image_size: side in pixels, or ``(height, width)``.
        **options: see :class:`longtail.data.options.Options`.

    Raises:
        DataError: the data cannot be used as it is; the message names file, row or column.
        UnknownNameError: no such built-in set or option; the nearest is suggested.
    """
    given = Options.read(
        {
            "data_root": data_root,
            "imbalance_factor": imbalance_factor,
            "profile": profile,
            "seed": seed,
            "validation": validation,
            "labelled_share": labelled_share,
            "image_size": image_size,
            **options,
        }
    )
    if isinstance(data, Dataset):
        return data
    raw, final = read(data, given)
    if isinstance(final.classes, tuple):
        raw.class_names = final.classes
    return assemble(raw, final)


def read(data: Any, options: Options) -> tuple[Raw, Options]:
    """The source before it is split and encoded, and the options after a YAML file's own."""
    if options.classes is not None and not isinstance(options.classes, tuple):
        options = options.with_(classes=lists.read_class_names(Path(options.classes)))
    if arrays.is_frame(data):
        return manifest.from_frame(data, options), options
    if isinstance(data, tuple | Mapping):
        return arrays.from_arrays(data, options), options
    if not isinstance(data, str | os.PathLike):
        raise DataError(
            f"a {type(data).__name__} is no data source",
            "give a name, a path, (X, y), a mapping of arrays, or a data frame",
        )
    word = os.fspath(data)
    if word in _names():
        return get("datasets", word).load()(options), options
    path = Path(word).expanduser()
    if not path.exists():
        raise _nothing(word, path)
    options.refuse(f"the source {path.name!r}", "data_root", "imbalance_factor", "profile")
    if path.suffix.lower() in _YAML:
        return _from_yaml(path, options)
    return _READERS[_kind(path, options)](path, options), options


def _names() -> list[str]:
    return [n for r in records("datasets") for n in (r.name, *r.aliases)]


def _nothing(word: str, path: Path) -> Exception:
    looks_like_a_path = len(path.parts) > 1 or path.suffix or path.is_absolute()
    if not looks_like_a_path:
        return UnknownNameError("data set or path", word, [r.name for r in records("datasets")])
    folder_ = path.parent
    if not folder_.is_dir():
        return DataError(f"there is no file or folder {path}", f"there is no {folder_} either")
    near = nearest(path.name, [p.name for p in folder_.iterdir()])
    near = (
        near
        if near.startswith("did")
        else f"check the path; it was looked for in {folder_.resolve()}"
    )
    return DataError(f"there is no file or folder {path}", near)


def _kind(path: Path, options: Options) -> str:
    if options.kind is not None:
        if options.kind == "arrays" or (options.kind == "folder") != path.is_dir():
            raise DataError(
                f"{path} cannot be read as kind={options.kind}",
                "leave kind out, or give the path that it means",
            )
        return options.kind
    if path.is_dir():
        return "folder"
    kind = _BY_SUFFIX.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(sorted([*_BY_SUFFIX, *_YAML]))
        raise DataError(
            f"{path} has no ending that is known",
            f"known are {known}; or name its kind: kind={'|'.join(KINDS[1:])}",
        )
    return kind


def _from_yaml(path: Path, options: Options) -> tuple[Raw, Options]:
    """``path: FILE`` (or a built-in name) and any option of ``load``; paths start at the file."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        at = "" if line is None else f" (line {line + 1})"
        raise DataError(
            f"{path} is no valid YAML{at}", "check its indentation and quotes"
        ) from None
    if not isinstance(found, dict) or not isinstance(found.get("path"), str | None):
        raise DataError(f"{path} does not name its data", "it needs a line such as: path: images/")
    given = {str(k): v for k, v in found.items()}
    source = given.pop("path", None) or given.pop("source", None) or given.get("train")
    if not isinstance(source, str):
        raise DataError(f"{path} does not name its data", "it needs a line such as: path: images/")
    for key in _PATHS:
        if isinstance(given.get(key), str):
            given[key] = str(path.parent / given[key])
    if isinstance(given.get("classes"), str):
        given["classes"] = str(path.parent / given["classes"])
    defaults = Options()
    stated = {
        k: v for k, v in vars(options).items() if v != getattr(defaults, k)
    }  # what was said in the call goes over what the file says
    merged = Options.read({"name": path.stem, **given, **stated})
    inner = source if source in _names() else str(path.parent / source)
    if Path(inner).suffix.lower() in _YAML:
        raise DataError(f"{path} names another YAML file", "name the data itself")
    return read(inner, merged)
