"""``longtail compare DATA --recipes a,b,c --seeds N``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longtail.cli.options import Data, RunFlags, slug, with_flags
from longtail.errors import ConfigError

if TYPE_CHECKING:
    from longtail.data import Dataset
    from longtail.engine.runner import RunConfig

__all__ = ["compare"]

LABELLED_SHARE = 0.2
Place = tuple[str, int, Path]  # recipe, seed, folder


@with_flags(RunFlags)
def compare(
    data: Data,
    recipes: Annotated[
        str, typer.Option("--recipes", help="Names joined by commas; the first is the baseline.")
    ] = "ce,balanced_softmax",
    seeds: Annotated[int, typer.Option(min=1, help="Runs a recipe, with seeds that follow.")] = 3,
    *,
    flags: RunFlags,
) -> None:
    """Train several recipes over several seeds, and say which differences are beyond noise."""
    from longtail.cli.runs import refuse_occupied
    from longtail.registry import get

    asked = [n.strip() for n in recipes.split(",") if n.strip()]
    names = [get("recipes", n).called(n) for n in asked]
    if not names:
        raise ConfigError("--recipes names no recipe", "such as --recipes ce,balanced_softmax")
    output = flags.output or Path("runs") / f"compare-{slug(data)}"
    places = [
        (name, flags.seed + k, output / f"{name}-seed{flags.seed + k}")
        for name in dict.fromkeys(names)
        for k in range(seeds)
    ]
    if not flags.resume:
        refuse_occupied(folder for _, _, folder in places)
    flags, dataset = _shared(data, places, flags)
    from longtail.engine.launch import first_process

    _train([flags.config(data, n, seed=s, output=folder) for n, s, folder in places], dataset)
    if first_process():
        _conclude(output, [folder for _, _, folder in places])


def _shared(data: str, places: list[Place], flags: RunFlags) -> tuple[RunFlags, Dataset]:
    """One data set for all, with what any of the recipes needs: else they could not be compared."""
    from longtail.data import load
    from longtail.registry import get, records

    needs = {need for name, _, _ in places for need in get("recipes", name).needs}
    validation: bool | float = flags.validation or "validation" in needs
    built_in = any(data == r.name or data in r.aliases for r in records("datasets"))
    if "unlabelled" in needs and flags.labelled_share is None and built_in:
        flags = dataclasses.replace(flags, labelled_share=LABELLED_SHARE)
        print(f"labels: every recipe sees {LABELLED_SHARE:.0%} of them (--labelled-share)")
    dataset = load(
        data,
        data_root=flags.data_root,
        imbalance_factor=flags.imbalance_factor,
        profile=flags.profile,
        validation=validation,
        labelled_share=flags.labelled_share,
    )
    return dataclasses.replace(flags, validation=validation or None), dataset


def _train(configs: list[RunConfig], dataset: Dataset) -> None:
    """All runs, one after the other, in this process."""
    from longtail.engine.launch import first_process
    from longtail.engine.runner import fit

    for number, config in enumerate(configs, 1):
        if first_process():
            print(f"[{number}/{len(configs)}] {config.recipe}, seed {config.seed}", flush=True)
        fit(config, dataset)


def _conclude(output: Path, folders: list[Path]) -> None:
    """Compare what was trained: table, JSON and page; the first recipe is the baseline."""
    from longtail.engine.checkpoint import write_atomic
    from longtail.reports import compare_runs, leaderboard, read_run, write_card, write_report

    for folder in folders:
        write_report(folder, folder / "report.html")
        write_card(folder)
    baseline = read_run(folders[0]).recipe
    found = compare_runs(folders, baseline=baseline)
    text = json.dumps(found.to_data(), indent=1, allow_nan=False)
    write_atomic(output / "compare.json", (text + "\n").encode())
    page = write_report(folders, output / "report.html", baseline=baseline)
    print(leaderboard(found))
    print(f"runs:   {output}\nreport: {page}")
