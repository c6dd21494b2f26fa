"""The comparison for a terminal, with the words and numbers of the page."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from longtail.reports.compare import Comparison, compare_runs
from longtail.reports.page_compare import difference_table, leaderboard_table
from longtail.reports.tables import Table

__all__ = ["compare_runs", "comparison_text", "difference_text", "leaderboard", "leaderboard_text"]

MARKS = {"base": "dim", "better": "bold green", "worse": "bold red", "faint": "dim"}
#: columns that a narrow terminal leaves out, the first ones first; the page shows them all
OPTIONAL = (
    "params", "never pred.", "ECE", "medium", "accuracy", "detectable from", "seconds", "many",
    "95 % interval", "p (Holm)",
)  # fmt: skip
PADDING = 3


def leaderboard_text(found: Comparison, *, width: int | None = None) -> RichTable:
    """The leaderboard as a table of :mod:`rich`.

    Args:
        found: of :func:`~longtail.reports.compare.compare_runs`.
        width: columns of the terminal; a narrow one leaves out what the page still shows.
    """
    table = leaderboard_table(found)
    return _rich(table, width)


def difference_text(
    found: Comparison, metric: str = "balanced_accuracy", *, width: int | None = None
) -> RichTable:
    """Paired differences from the baseline, with verdict words."""
    return _rich(difference_table(found, metric), width)


def comparison_text(found: Comparison, *, width: int | None = None) -> RenderableType:
    """Leaderboard, differences in balanced accuracy, and notes, ready for ``console.print``."""
    parts: list[RenderableType] = [leaderboard_text(found, width=width)]
    if "balanced_accuracy" in found.differences:
        parts.append(difference_text(found, width=width))
    parts += [Text(f"note: {note}") for note in found.notes]
    return Group(*parts)


def leaderboard(found: Comparison, *, width: int | None = None) -> str:
    """The same as plain text, for ``print``.

    Args:
        found: of :func:`~longtail.reports.compare.compare_runs`.
        width: columns (default: those of the terminal).
    """
    console = Console(width=width, no_color=True, highlight=False)
    with console.capture() as captured:
        console.print(comparison_text(found, width=console.width))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _rich(table: Table, width: int | None) -> RichTable:
    out = RichTable(
        title=Text(table.caption), title_justify="left", title_style="", box=SIMPLE_HEAD,
        pad_edge=False,
    )  # fmt: skip
    kept = _fitting(table, width)
    for i in kept:
        column = table.columns[i]
        out.add_column(
            Text(column.name),
            justify="right" if column.numeric else "left",
            no_wrap=column.numeric or column.name == "verdict",
            overflow="fold",
        )
    for row in table.rows:
        cells = [Text(row.cells[i]) for i in kept]
        if row.mark in ("better", "worse"):
            cells[-1].stylize(MARKS[row.mark])
        out.add_row(*cells, style=MARKS[row.mark] if row.mark in ("base", "faint") else "")
    return out


def _fitting(table: Table, width: int | None) -> list[int]:
    """Places of the columns that fit into ``width`` characters."""
    needed = [
        PADDING + max(len(column.name), *(len(row.cells[i]) for row in table.rows))
        for i, column in enumerate(table.columns)
    ]
    kept = list(range(len(needed)))
    for name in OPTIONAL:
        if width is None or sum(needed[i] for i in kept) <= width:
            break
        kept = [i for i in kept if table.columns[i].name != name]
    return kept
