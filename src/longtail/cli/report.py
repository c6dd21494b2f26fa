"""``longtail report RUN...``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["report"]


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folders, or folders of run folders."),
    ],
    output: Annotated[
        Path | None, typer.Option(help="The page (default: report.html beside the runs).")
    ] = None,
) -> None:
    """Write the page of one run, or the comparison of several."""
    from longtail.cli.runs import expand

    folders = expand(runs)
    from longtail.reports.page import write_report

    beside = folders[0] if len(folders) == 1 else folders[0].parent
    page = output or beside / "report.html"
    write_report(folders, page)
    print(f"report: {page}")
