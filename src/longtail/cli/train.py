"""``longtail train DATA --recipe R``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from longtail.cli.options import Data, RunFlags, slug, with_flags

__all__ = ["train"]


@with_flags(RunFlags)
def train(
    data: Data,
    recipe: Annotated[
        str, typer.Option("--recipe", "-r", help="One of longtail list recipes.")
    ] = "ce",
    *,
    flags: RunFlags,
) -> None:
    """Train one recipe on DATA, test it, and write a run folder with its report."""
    from longtail.registry import get

    name = get("recipes", recipe).called(recipe)
    output = flags.output or Path("runs") / f"{slug(data)}-{name}-seed{flags.seed}"
    from longtail.cli.summary import prior_of, run_summary
    from longtail.engine.launch import first_process
    from longtail.engine.runner import fit
    from longtail.reports import write_card, write_report

    run = fit(flags.config(data, name, output=output))
    if not first_process():
        return
    page = write_report(output, output / "report.html")
    card = write_card(output)
    print(run_summary(run.metrics))
    print(prior_of(run))
    print(f"run:    {output}\nreport: {page}\ncard:   {card}")
