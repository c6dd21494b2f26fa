"""The comparison for a terminal, with the words and numbers of the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from longtail.reports.compare import Comparison, compare_runs
from longtail.reports.page_compare import difference_table, leaderboard_table
from longtail.reports.runs import read_run
from longtail.reports.tables import Table

__all__ = ["comparison_text", "difference_text", "leaderboard_text"]

MARKS = {"base": "dim", "better": "bold green", "worse": "bold red", "faint": "dim"}
WIDE_ONLY = ("params", "never pred.", "medium")


def leaderboard_text(found: Comparison, *, width: int | None = None) -> RichTable:
    """The leaderboard as a table of :mod:`rich`.

    Args:
        found: of :func:`~longtail.reports.compare.compare_runs`.
        width: columns of the terminal; a narrow one leaves out what the page still shows.
    """
    table = leaderboard_table(found)
    hidden = WIDE_ONLY if width is not None and width < 120 else ()
    return _rich(table, hidden)


def difference_text(found: Comparison, metric: str = "balanced_accuracy") -> RichTable:
    """Paired differences from the baseline, with verdict words."""
    return _rich(difference_table(found, metric), ())


def comparison_text(
    folders: Sequence[Path | str], *, baseline: str | None = None, width: int | None = None
) -> RenderableType:
    """Leaderboard, differences in balanced accuracy, and notes, ready for ``console.print``.

    Args:
        folders: run folders, recipes x seeds.
        baseline: as in :func:`~longtail.reports.page.write_report`.
        width: columns of the terminal.
    """
    found = compare_runs([read_run(folder) for folder in folders], baseline=baseline)
    parts: list[RenderableType] = [leaderboard_text(found, width=width)]
    if "balanced_accuracy" in found.differences:
        parts.append(difference_text(found))
    parts += [Text(f"note: {note}") for note in found.notes]
    return Group(*parts)


def _rich(table: Table, hidden: Sequence[str]) -> RichTable:
    out = RichTable(title=Text(table.caption), title_justify="left", title_style="", pad_edge=False)
    kept = [i for i, column in enumerate(table.columns) if column.name not in hidden]
    for i in kept:
        column = table.columns[i]
        out.add_column(
            Text(column.name),
            justify="right" if column.numeric else "left",
            no_wrap=column.numeric,
            overflow="fold",
        )
    for row in table.rows:
        cells = [Text(row.cells[i]) for i in kept]
        if row.mark in ("better", "worse"):
            cells[-1].stylize(MARKS[row.mark])
        out.add_row(*cells, style=MARKS[row.mark] if row.mark in ("base", "faint") else "")
    return out
