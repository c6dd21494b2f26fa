"""Image paths of manifests and lists: inside their root, and there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from longtail.errors import DataError

__all__ = ["inside", "resolve_paths"]


def inside(path: str, root: str) -> bool:
    """True when ``path`` (links followed) lies in ``root`` (a real path)."""
    real = os.path.realpath(path)
    return real == root or real.startswith(root.rstrip(os.sep) + os.sep)


def resolve_paths(
    names: Sequence[str], root: Path, where: str, *, skip: bool = False
) -> tuple[list[str], list[int]]:
    """Full paths of files named relative to ``root``, and positions of those that are missing.

    Args:
        names: as written in the source.
        root: folder they start from; a file outside it is refused.
        where: the source, for messages.
        skip: return missing files instead of refusing them.

    Raises:
        DataError: a path leaves the root, or files are missing.
    """
    real = os.path.realpath(root)
    full, missing = [], []
    for i, name in enumerate(names):
        path = os.path.join(real, name.replace("\\", "/"))
        plain = not os.path.isabs(name) and ".." not in path.split("/")
        if (not plain or os.path.islink(path)) and not inside(path, real):
            raise DataError(
                f"{where} names {name!r}, which leaves its root {root}",
                "move the file below the root, or give a folder that holds all files: data option root",
            )
        full.append(path)
        if not os.path.isfile(path):
            missing.append(i)
    if missing and not (skip and len(missing) < len(names)):
        listed = ", ".join(names[i] for i in missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise DataError(
            f"{where} names {len(missing)} files that are not in {root}: {listed}",
            "give the folder that the paths start from (data option root), or on_bad: skip",
        )
    return full, missing
