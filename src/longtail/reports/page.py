"""The report: one HTML file, complete in itself, made from run folders and nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from longtail.errors import ConfigError
from longtail.reports.runs import read_run
from longtail.reports.words import embedded_json

__all__ = ["write_report"]


def write_report(
    folders: Sequence[Path | str] | Path | str,
    output: Path | str,
    *,
    baseline: str | None = None,
) -> Path:
    """Write the report of one run, or the comparison of several, as one offline HTML file.

    The file holds its own scripts and styles and asks the network for nothing.

    Args:
        folders: one run folder, or several (recipes x seeds) of the same data.
        output: the file to write, or an existing folder (``report.html`` in it).
        baseline: recipe that the others are compared with; default ``ce`` if present, else the
            first.

    Returns:
        Path of the file.

    Raises:
        ConfigError: no folder given.
        DataError: a folder that is no finished run, or runs of different data.
    """
    from longtail.reports.page_run import run_view

    given = [folders] if isinstance(folders, Path | str) else list(folders)
    if not given:
        raise ConfigError("there is no run folder to report on", "give at least one run folder")
    runs = [read_run(folder) for folder in given]
    if len(runs) == 1:
        text = render("run.html", run_view(runs[0]))
    else:
        from longtail.reports.page_compare import compare_view

        text = render("compare.html", compare_view(runs, baseline=baseline))
    output = Path(output)
    target = output / "report.html" if output.is_dir() else output
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, target)
    return target


def template(name: str) -> str:
    """Text of a file under ``templates/`` (also from a wheel)."""
    place = resources.files("longtail.reports") / "templates" / name
    return place.read_text(encoding="utf-8")


def render(name: str, view: Mapping[str, Any]) -> str:
    """A template filled; everything from data is escaped.

    Args:
        name: template file.
        view: its variables; ``view["embedded"]`` is the JSON that the page's script reads.
    """
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(template),
        autoescape=True,
        trim_blocks=True,
    )
    values = dict(view)
    return environment.get_template(name).render(
        **values,
        css=Markup(template("style.css")),
        script=Markup(template("report.js")),
        plotly=Markup(get_plotlyjs()),
        data=Markup(embedded_json(values.pop("embedded"))),
    )
