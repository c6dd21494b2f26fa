"""Folders of images: ``class/file`` or ``split/class/file``."""

from __future__ import annotations

import os
from pathlib import Path

from longtail.data.images import EXTENSIONS
from longtail.data.options import Options, split_name
from longtail.data.paths import inside
from longtail.data.raw import Raw, Rows
from longtail.errors import DataError

__all__ = ["from_folder", "image_files"]


def image_files(folder: str, root: str) -> tuple[list[str], list[str], int]:
    """Image files below a folder in sorted order, links that leave the root, and other files.

    Folder links are not followed; a file link is, when it stays inside ``root``.
    """
    files, outside, other = [], [], 0
    for here, folders, names in os.walk(folder, followlinks=False):
        links = [d for d in folders if os.path.islink(os.path.join(here, d))]
        outside += [os.path.join(here, d) for d in links]
        folders[:] = sorted(d for d in folders if not d.startswith(".") and d not in links)
        for name in sorted(names):
            path = os.path.join(here, name)
            if name.startswith("."):
                continue
            if os.path.splitext(name)[1].lower() not in EXTENSIONS:
                other += 1
            elif os.path.islink(path) and not inside(path, root):
                outside.append(path)
            else:
                files.append(path)
    return files, outside, other


def from_folder(path: Path, options: Options) -> Raw:
    """One folder a class, or one folder a split and in it one a class.

    A list file pair (``*_train.txt``) in the folder makes it a list source instead. Sub-folders
    of a class belong to it. Class names are folder names as they are.

    Raises:
        DataError: no folders, no images, images beside the class folders, or a split unknown.
    """
    if not any(p.is_dir() for p in path.iterdir()) or any(path.glob("*train*.txt*")):
        from longtail.data.lists import folder_lists, from_lists

        found = folder_lists(path)
        if "train" in found:
            return from_lists(found["train"], options)
    options.refuse(f"the folder {path.name!r}", "label", "text", "path_column", "columns", "root",
                   "delimiter", "train", "validation_list", "test", "max_tokens")  # fmt: skip
    root = os.path.realpath(path)
    tops = sorted(e.name for e in os.scandir(root) if e.is_dir() and not e.name.startswith("."))
    if not tops:
        raise DataError(
            f"{path} holds no class folders{_lonely(root)}",
            "lay images out as class/file or split/class/file",
        )
    raw = Raw(options.name or path.name or "folder", "image", {})
    splits = {name: split_name(name) for name in tops}
    nested = all(splits.values()) and "train" in splits.values() and not _images_in(root, tops)
    notes: list[str] = []
    for name in tops if nested else [""]:
        part = splits[name] if nested else "train"
        assert part is not None
        rows = _part(
            os.path.join(root, name) if name else root, root, notes, flat=part == "unlabelled"
        )
        if part in raw.parts:
            raise DataError(f"{path} has two folders for the {part} part", "leave one of them out")
        raw.parts[part] = rows
    if not any(len(r) for r in raw.parts.values()):
        raise DataError(
            f"{path} holds no image (known endings: {', '.join(sorted(EXTENSIONS))})",
            "lay images out as class/file or split/class/file",
        )
    raw.notes += notes
    return raw


def _lonely(root: str) -> str:
    count = sum(os.path.splitext(e.name)[1].lower() in EXTENSIONS for e in os.scandir(root))
    return f", only {count} images" if count else ""


def _images_in(root: str, tops: list[str]) -> bool:
    """Images right below a folder called like a split: then it is a class of that name."""
    for name in tops:
        if split_name(name) == "unlabelled":
            continue
        for entry in os.scandir(os.path.join(root, name)):
            if entry.is_file() and os.path.splitext(entry.name)[1].lower() in EXTENSIONS:
                return True
    return False


def _part(folder: str, root: str, notes: list[str], *, flat: bool) -> Rows:
    """Rows of one split; with ``flat`` all images below, without labels."""
    if flat:
        files, outside, _ = image_files(folder, root)
        _say(notes, [], outside, root)
        return Rows(files, [""] * len(files), _ids(files, root))
    paths, labels, empty, away = [], [], [], []
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        if entry.name.startswith(".") or not entry.is_dir():
            continue
        if entry.is_symlink():
            away.append(entry.path)
            continue
        files, outside, _ = image_files(entry.path, root)
        away += outside
        if not files:
            empty.append(entry.name)
        paths += files
        labels += [entry.name] * len(files)
    _say(notes, empty, away, root)
    return Rows(paths, labels, _ids(paths, root))


def _ids(paths: list[str], root: str) -> list[str]:
    return [os.path.relpath(p, root).replace(os.sep, "/") for p in paths]


def _say(notes: list[str], empty: list[str], outside: list[str], root: str) -> None:
    if empty:
        notes.append(f"{len(empty)} class folders hold no image: {', '.join(empty[:8])}")
    if outside:
        notes.append(
            f"{len(outside)} links were not followed: {', '.join(_ids(outside[:3], root))}"
        )
