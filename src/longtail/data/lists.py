"""List files (``path label`` a line), JSON lists, and the large sets that are published so."""

from __future__ import annotations

import csv
import json
import lzma
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtail.data.manifest import unique_names
from longtail.data.options import Options, split_name
from longtail.data.paths import resolve_paths
from longtail.data.raw import Raw, Rows
from longtail.errors import DataError

__all__ = [
    "folder_lists",
    "from_json",
    "from_lists",
    "imagenet_lt",
    "inaturalist18",
    "places_lt",
    "read_class_names",
    "read_json",
    "read_list",
    "read_text",
]

Lines = tuple[list[str], list[str]]


def read_text(path: Path) -> str:
    """A text file, packed by xz or not."""
    try:
        if path.suffix == ".xz":
            with lzma.open(path, "rt", encoding="utf-8-sig") as file:
                return file.read()
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"there is no file {path}", "check the path") from None
    except (OSError, UnicodeDecodeError, lzma.LZMAError, EOFError) as error:
        raise DataError(
            f"{path} is no readable text file ({str(error)[:80]})", "save it as UTF-8 text"
        ) from None


def read_list(path: Path) -> Lines:
    """Paths and labels of ``path label`` lines; told apart by a tab, else the last blank.

    Raises:
        DataError: a line without a label (named), or no line at all.
    """
    names, labels = [], []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, label = line.rstrip().rpartition("\t" if "\t" in line.strip() else " ")
        if not name.strip() or not label.strip():
            raise DataError(
                f"line {number} of {path} is not 'path label': {line[:60]!r}",
                "write the path, a tab or a blank, and the label",
            )
        names.append(name.strip())
        labels.append(label.strip())
    if not names:
        raise DataError(f"{path} has no lines", "write one 'path label' a line")
    return names, labels


def read_class_names(path: Path) -> tuple[str, ...]:
    """Class names, one a line in id order; or a table with a ``name`` column (tab or comma)."""
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    header = lines[0].lower().split("\t" if "\t" in lines[0] else ",") if lines else []
    if len(header) > 1 and "name" in header:
        mark = "\t" if "\t" in lines[0] else ","
        rows = list(csv.DictReader([lines[0].lower(), *lines[1:]], delimiter=mark))
        key = next((k for k in ("index", "id", "fine_id") if k in header), None)
        if key is not None:
            rows.sort(key=lambda r: int(r[key]))
        return _distinct([r["name"] for r in rows])
    return _distinct([line.strip() for line in lines])


def _distinct(names: list[str]) -> tuple[str, ...]:
    """Two classes of one name (ImageNet has two cranes) are told apart by their number."""
    many = {n for n in names if names.count(n) > 1} if len(set(names)) < len(names) else set()
    return tuple(f"{n} ({i})" if n in many else n for i, n in enumerate(names))


def folder_lists(folder: Path) -> dict[str, Path]:
    """List files of a folder by part: ``*_train.txt``, ``val.txt``, ``*_test.txt.xz`` ..."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        stem = path.name.removesuffix(".xz")
        if path.is_file() and stem.endswith((".txt", ".lst")):
            part = split_name(stem.rsplit(".", 1)[0].replace("-", "_").rsplit("_", 1)[-1])
            if part:
                found.setdefault(part, path)
    return found


def from_lists(path: Path, options: Options) -> Raw:
    """A list file, with those of the other parts from the options or beside it.

    Image paths start at ``root``, else at the list's folder.
    """
    options.refuse(f"the list {path.name!r}", "label", "text", "path_column", "columns",
                   "delimiter", "max_tokens")  # fmt: skip
    files = {"train": path}
    beside = folder_lists(path.parent)
    for part, given in (("validation", options.validation_list), ("test", options.test)):
        if given is not None:
            files[part] = Path(given)
        elif beside.get("train") == path and part in beside:
            files[part] = beside[part]
    lines = {part: read_list(file) for part, file in files.items()}
    root = Path(options.root) if options.root else path.parent
    return _raw(options.name or path.stem, lines, root, str(path), options)


def _raw(name: str, lines: dict[str, Lines], root: Path, where: str, options: Options) -> Raw:
    raw = Raw(name, "image", {})
    if isinstance(options.classes, tuple):
        raw.class_names = options.classes
    for part, (names, labels) in lines.items():
        skip = options.on_bad == "skip"
        full, missing = resolve_paths(names, root, f"the {part} list of {where}", skip=skip)
        gone = set(missing)
        kept = [i for i in range(len(names)) if i not in gone]
        raw.unreadable += [names[i] for i in missing]
        ids = unique_names([f"{part}:{n}" for n in names])
        raw.parts[part] = Rows(
            [full[i] for i in kept], [labels[i] for i in kept], [ids[i] for i in kept]
        )
    return raw


def read_json(path: Path) -> Lines:
    """Paths and labels of BoT-LT (``fpath``, ``category_id``) or COCO-style JSON."""
    try:
        found: Any = json.loads(read_text(path))
        rows = found["annotations"]
        if rows and "fpath" in rows[0]:
            return [str(r["fpath"]) for r in rows], [str(r["category_id"]) for r in rows]
        files = {r["id"]: str(r["file_name"]) for r in found["images"]}
        names = [files[r["image_id"]] for r in rows]
        return names, [str(r["category_id"]) for r in rows]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(
            f"{path} is no annotation list ({str(error)[:60]})",
            "it needs annotations with fpath and category_id, or images and annotations (COCO)",
        ) from None


def from_json(path: Path, options: Options) -> Raw:
    """A JSON list of images and their classes; ``validation_list`` and ``test`` name the others."""
    options.refuse(f"the list {path.name!r}", "label", "text", "path_column", "columns",
                   "delimiter", "max_tokens")  # fmt: skip
    files = {"train": path, "validation": options.validation_list, "test": options.test}
    lines = {part: read_json(Path(file)) for part, file in files.items() if file is not None}
    root = Path(options.root) if options.root else path.parent
    return _raw(options.name or path.stem, lines, root, str(path), options)


@dataclass(frozen=True)
class _Large:
    """A published set of photographs, by its lists."""

    name: str
    folder: str
    lists: tuple[tuple[str, str], ...]
    json: tuple[tuple[str, str], ...]
    classes: tuple[str, ...]
    roots: tuple[str, ...]
    first: str


def _large(info: _Large, options: Options) -> Raw:
    options.refuse(info.name, "imbalance_factor", "profile", "kind", "label", "text",
                   "path_column", "columns", "delimiter", "train", "validation_list", "test",
                   "max_tokens")  # fmt: skip
    base = options.folder
    places = [base, base / info.folder, base / "lists" / info.folder, base / info.name]
    lists = {part: _first(places, name) for part, name in info.lists}
    found_json = {part: _first(places, name) for part, name in info.json}
    if info.json and None in lists.values() and None not in found_json.values():
        lines = {p: read_json(f) for p, f in found_json.items() if f is not None}
    elif None in lists.values():
        lacking = [name for part, name in info.lists if lists[part] is None]
        other = f", or {' and '.join(n for _, n in info.json)}" if info.json else ""
        raise DataError(
            f"{info.name} lacks {', '.join(lacking)} in {base} or {base / info.folder}",
            f"put these lists there{other}; another folder: --data-root DIR (or LONGTAIL_DATA)",
        )
    else:
        lines = {p: read_list(f) for p, f in lists.items() if f is not None}
    sample = lines["train"][0][0]
    roots = [Path(options.root)] if options.root else [*places, *(base / r for r in info.roots)]
    root = next((r for r in roots if (r / sample).is_file()), None)
    if root is None:
        raise DataError(
            f"{info.name} lacks its images: {sample} is in none of "
            + ", ".join(str(r) for r in roots[:4]),
            f"put the folder {info.first} in {base / info.folder}, or name its place with root=",
        )
    if options.classes is None:
        names = next((f for n in info.classes if (f := _first(places, n))), None)
        options = options.with_(classes=None if names is None else read_class_names(names))
    raw = _raw(options.name or info.name, lines, root, info.name, options)
    raw.benchmark = True
    raw.default_backbone = "resnet50"
    raw.image_size = (224, 224)
    return raw


def _first(places: list[Path], name: str) -> Path | None:
    """A file in one of the places, plain or ``.xz``."""
    tries = (p / n for p in places for n in (name, f"{name}.xz"))
    return next((t for t in tries if t.is_file()), None)


def _three(stem: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (part, f"{stem}_{word}.txt")
        for part, word in (("train", "train"), ("validation", "val"), ("test", "test"))
    )


def imagenet_lt(options: Options) -> Raw:
    """ImageNet-LT: 1,000 classes; lists of 115,846 / 20,000 / 50,000 images."""
    info = _Large(
        "imagenet-lt", "ImageNet_LT", _three("ImageNet_LT"), (), ("imagenet_classes.tsv",),
        ("imagenet", "ImageNet", "ILSVRC2012", "ImageNet_LT"), "train (ILSVRC 2012)",
    )  # fmt: skip
    return _large(info, options)


def places_lt(options: Options) -> Raw:
    """Places-LT: 365 classes; lists of 62,500 / 7,300 / 36,500 images."""
    info = _Large(
        "places-lt", "Places_LT", _three("Places_LT"), (), ("places_classes.tsv",),
        ("places", "Places365", "places365_standard", "Places"), "train (Places365)",
    )  # fmt: skip
    return _large(info, options)


def inaturalist18(options: Options) -> Raw:
    """iNaturalist 2018: 8,142 species; its validation list is the test set, as in the papers."""
    info = _Large(
        "inaturalist18", "iNaturalist18",
        (("train", "iNaturalist18_train.txt"), ("test", "iNaturalist18_val.txt")),
        (("train", "train2018.json"), ("test", "val2018.json")),
        ("inat18_taxonomy.tsv",), ("inaturalist18", "inaturalist", "iNaturalist"),
        "train_val2018",
    )  # fmt: skip
    return _large(info, options)
