"""Run folders as the verbs see them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from longtail.errors import ConfigError, DataError

if TYPE_CHECKING:
    from torch import Tensor

    from longtail.data import Dataset, Split
    from longtail.engine.run import Run
    from longtail.posthoc import PriorEstimate

__all__ = ["aim", "expand", "open_run", "own_data", "own_validation", "refuse_occupied"]

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
    from longtail.engine.reading import load_run

    return load_run(folder, device=str(launch(device).device))


def own_data(model: Run, data_root: Path | None = None) -> Dataset:
    """What the run was trained on."""
    from longtail.data import load

    source = model.info["source"]
    if source["data"] is None:
        raise DataError("the run was trained on arrays, not on a named set", "name DATA")
    found = load(
        source["data"],
        data_root=data_root or source.get("data_root"),
        imbalance_factor=source["imbalance_factor"],
        profile=source["profile"],
        validation=source.get("validation", False),
        labelled_share=source["labelled_share"],
    )
    if list(found.class_names) != model.class_names:
        raise DataError(f"{found.name} has other classes than the run", "name DATA as it was")
    if found.fingerprint != model.info["data"]["fingerprint"]:
        print(f"warning: {source['data']} is not what the run was trained on", file=sys.stderr)
    return found


def own_validation(model: Run, data_root: Path | None = None) -> Split | None:
    """Validation rows of the run's own data, cut from its training rows or named by the data.

    The data are read only where the run was measured on such rows.
    """
    if model.metrics.get("validation") is None:
        return None
    return own_data(model, data_root).validation


def aim(
    model: Run,
    target_prior: str | None,
    rows: Iterable[Tensor],
    data_root: Path | None = None,
    *,
    method: str = "em",
    force: bool = False,
) -> PriorEstimate | None:
    """Make a run answer to the prior asked for; the estimate where that was asked for.

    Args:
        model: the run.
        target_prior: the flag, or ``None`` for the run's own.
        rows: stored rows at hand, read only to estimate from them.
        data_root: where the run's own data lie; their validation part calibrates the estimate.
        method: of the estimate.
        force: use an estimate that speaks against itself.
    """
    import torch

    if target_prior is None:
        return None
    if target_prior != "estimate":
        model.aim(target_prior)
        return None
    model.require_known_prior()
    known = own_validation(model, data_root)
    logits = [model.plain_logits(x) for x in rows] if known is not None else []
    found = model.class_mix(
        torch.cat(logits) if logits else torch.zeros(0, 2), known, method=method
    )
    print("\n".join(found.lines()), file=sys.stderr)
    model.aim(found, force=force)
    return found
