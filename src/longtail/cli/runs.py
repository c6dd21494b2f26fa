"""Run folders as the verbs see them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from longtail.errors import ConfigError

__all__ = ["expand", "refuse_occupied"]

RUN_FILE = "run.json"


def refuse_occupied(folders: Iterable[Path]) -> None:
    """Stop before the first of several runs when the folder of one is taken."""
    for folder in folders:
        if (folder / RUN_FILE).is_file():
            raise ConfigError(
                f"the folder {folder} holds a run already; nothing there is overwritten",
                "continue it with --resume, or choose another folder with --output",
            )


def expand(paths: Iterable[Path]) -> list[Path]:
    """Run folders among the paths given; a folder of runs stands for the runs in it."""
    runs: list[Path] = []
    for path in paths:
        inside = sorted(p.parent for p in path.glob(f"*/{RUN_FILE}")) if path.is_dir() else []
        if (path / RUN_FILE).is_file():
            runs.append(path)
        elif inside:
            runs.extend(inside)
        else:
            raise ConfigError(
                f"{path} is no run folder", "give a folder that longtail train or compare wrote"
            )
    return list(dict.fromkeys(runs))
