"""Run folders as the verbs see them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from longtail.errors import ConfigError

if TYPE_CHECKING:
    from longtail.engine.run import Run

__all__ = ["expand", "open_run", "refuse_occupied"]

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


def open_run(folder: Path, device: str) -> Run:
    """A finished run, ready to predict."""
    if not (folder / RUN_FILE).is_file():
        raise ConfigError(
            f"{folder} is no run folder", "give a folder that longtail train or compare wrote"
        )
    if not (folder / "metrics.json").is_file():
        raise ConfigError(
            f"the run in {folder} is not finished", "end it with its command and --resume"
        )
    from longtail.engine.launch import launch
    from longtail.engine.run import load_run

    return load_run(folder, device=str(launch(device).device))
