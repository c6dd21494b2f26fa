"""``longtail evaluate RUN [DATA]``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from longtail.cli.options import DataFlags, with_flags
from longtail.errors import DataError

__all__ = ["evaluate"]


@with_flags(DataFlags)
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")],
    data: Annotated[
        str | None, typer.Argument(metavar="[DATA]", help="Rows of the run's classes (default: its own).")
    ] = None,
    split: Annotated[str, typer.Option(help="test, validation or train.")] = "test",
    as_json: Annotated[bool, typer.Option("--json", help="The numbers as JSON.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    *,
    flags: DataFlags,
) -> None:
    """Measure a trained run again, on its own data or on other rows of the same classes."""
    from longtail.data.sources import load
    from longtail.engine.runner import load_run
    from longtail.reports.text import metrics_table

    model = load_run(run, device=device)
    rows = None
    if data is not None:
        rows = getattr(load(data, **vars(flags)), split, None)
        if rows is None:
            raise DataError(f"{data} has no {split} part", "choose another --split")
    metrics, _ = model.evaluate(rows if rows is not None else split)
    print(json.dumps(metrics, indent=1) if as_json else metrics_table(metrics))
