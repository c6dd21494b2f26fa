"""The charts of a comparison: differences, curves and recalls of several recipes.

Shape legend: ``C`` classes, ``S`` seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtail.reports.compare import Comparison, Difference, Standing
from longtail.reports.figures import ACCENT, LINE, QUIET, Figure, epochs_axis, label, windowed_mean
from longtail.reports.words import integer, interval, percent, points

__all__ = ["comparison_figures"]

COLOURS = 8
DASHES = ("solid", "dash", "dot", "dashdot")
SHOWN = 8  #: recipes drawn at once; the others wait in the legend


def comparison_figures(found: Comparison) -> dict[str, Figure]:
    """Every chart that the folders allow, by id."""
    made = [_forest(found), *_curves(found), _recalls(found)]
    return {figure.id: figure for figure in made if figure is not None}


def _recipes(count: int) -> str:
    return "1 recipe" if count == 1 else f"{count} recipes"


def _style(place: int) -> dict[str, Any]:
    colour = f"var(--c{place % COLOURS + 1})"
    return {"color": colour, "dash": DASHES[place // COLOURS % len(DASHES)], "width": 2}


def _line(
    found: Comparison, standing: Standing, x: Sequence[Any], y: Sequence[Any]
) -> dict[str, Any]:
    place = found.standings.index(standing)
    base = standing.recipe == found.baseline
    line = {"color": QUIET, "dash": "solid", "width": 2.5} if base else _style(place)
    shown = place < SHOWN or base
    return {
        "type": "scatter", "mode": "lines" if len(x) > 1 else "markers", "x": x, "y": y,
        "name": label(standing.recipe, 32), "line": line, "marker": {"color": line["color"]},
        "visible": True if shown else "legendonly",
        "hovertemplate": "%{y:.3g}<extra>" + label(standing.recipe, 32) + "</extra>",
    }  # fmt: skip


def _forest(found: Comparison) -> Figure | None:
    """Differences in balanced accuracy from the baseline, with 95 % intervals."""
    rows = sorted(found.differences.get("balanced_accuracy", ()), key=lambda d: d.delta)
    if not rows:
        return None
    kinds = (("clear difference", ACCENT, True), ("within noise or cannot tell", QUIET, False))
    data = [_whiskers(rows, name, colour, clear) for name, colour, clear in kinds]
    layout = {
        "xaxis": {"title": {"text": f"points above {label(found.baseline, 20)}"},
                  "rangemode": "tozero"},
        "shapes": [{"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1,
                    "line": {"color": "var(--ink)", "width": 1}}],
        "yaxis": {"tickvals": list(range(len(rows))), "showgrid": False,
                  "ticktext": [label(d.recipe, 20) for d in rows],
                  "range": [-0.6, len(rows) - 0.4]},
    }  # fmt: skip
    best = rows[-1]
    alt = (
        f"Differences of {_recipes(len(rows))} from {found.baseline} with 95 % intervals; the "
        f"largest is {best.recipe} with {points(best.delta)} points ({interval(best.interval, signed=True)})."
    )
    note = "Filled: better or worse after Holm's correction; open: within noise or cannot tell."
    return Figure("forest", "Balanced accuracy against the baseline", alt,
                  [t for t in data if t["x"]], layout, 130 + 28 * len(rows), note)  # fmt: skip


def _whiskers(rows: Sequence[Difference], name: str, colour: str, clear: bool) -> dict[str, Any]:
    kept = [(i, d) for i, d in enumerate(rows) if (d.verdict in ("better", "worse")) == clear]
    x = [round(100 * d.delta, 3) for _, d in kept]
    above = [round(100 * (d.interval[1] - d.delta), 3) for _, d in kept]
    below = [round(100 * (d.delta - d.interval[0]), 3) for _, d in kept]
    return {
        "type": "scatter", "mode": "markers", "name": name, "x": x, "y": [i for i, _ in kept],
        "error_x": {"type": "data", "symmetric": False, "thickness": 1.5, "width": 4, "color": colour,
                    "array": above, "arrayminus": below},
        "marker": {"color": colour, "size": 9, "symbol": "circle" if clear else "circle-open",
                   "line": {"width": 2, "color": colour}},
        "text": [label(d.recipe, 40) for _, d in kept],
        "hovertemplate": "%{text}<br>%{x:+.1f} points<extra></extra>",
    }  # fmt: skip


def _mean_curve(standing: Standing, key: str) -> list[float | None]:
    """Mean over seeds of one column of ``metrics.jsonl``, epoch by epoch."""
    length = max((len(run.epochs) for run in standing.runs), default=0)
    out: list[float | None] = []
    for epoch in range(length):
        values = [run.epochs[epoch].get(key) for run in standing.runs if epoch < len(run.epochs)]
        known = [v for v in values if isinstance(v, int | float) and np.isfinite(v)]
        out.append(round(float(np.mean(known)), 5) if known else None)
    return out


def _curves(found: Comparison) -> list[Figure]:
    wanted = (
        ("loss-curves", "Training loss", "loss", "loss", ""),
        ("validation-curves", "Validation balanced accuracy", "validation_balanced_accuracy",
         "balanced accuracy", ".0%"),
        ("train-curves", "Training balanced accuracy", "train_balanced_accuracy",
         "balanced accuracy", ".0%"),
    )  # fmt: skip
    out = []
    for name, title, key, axis, form in wanted:
        curves = [(s, _mean_curve(s, key)) for s in found.standings]
        curves = [(s, y) for s, y in curves if any(v is not None for v in y)]
        if not curves:
            continue
        data = [_line(found, s, list(range(1, len(y) + 1)), y) for s, y in curves]
        layout = {
            "xaxis": epochs_axis(max(len(y) for _, y in curves)),
            "yaxis": {"title": {"text": axis}, "tickformat": form, "rangemode": "tozero"},
        }
        alt = f"{title} by epoch of {_recipes(len(curves))}, means over seeds."
        note = "Losses of different recipes have different scales." if key == "loss" else ""
        out.append(Figure(name, title, alt, data, layout, _tall(340, len(curves)), note))
    return out


def _tall(height: int, entries: int) -> int:
    """Room for a legend of several rows above the plot."""
    return height + 14 * min(entries, 16)


def _recalls(found: Comparison) -> Figure | None:
    """Recall of each class, classes sorted by training count, one line a recipe."""
    order, c = found.order, len(found.order)
    width = 1 if c <= 40 else max(5, c // 40)
    data = []
    for standing in found.standings:
        recall: NDArray[np.float64] = standing.recall
        if len(recall) != c or not np.isfinite(recall).any():
            continue
        mean = windowed_mean(recall[order], width)
        step = max(1, c // 800)
        x = list(range(1, c + 1, step))
        trace = _line(found, standing, x, [round(float(v), 4) for v in mean[::step]])
        trace["hovertemplate"] = "%{y:.1%}<extra>" + label(standing.recipe, 32) + "</extra>"
        data.append(trace | ({"mode": "lines+markers"} if c <= 40 else {}))
    if not data:
        return None
    counts = found.counts[order]
    largest = np.nanmax(counts) if np.isfinite(counts).any() else np.nan
    if np.isfinite(largest) and largest > 0:
        step = max(1, c // 800)
        frequency = {"type": "scatter", "mode": "lines", "fill": "tozeroy", "fillcolor": LINE,
                     "line": {"color": LINE, "width": 0, "shape": "hvh"}, "yaxis": "y2",
                     "name": "training samples", "x": list(range(1, c + 1, step)),
                     "y": [float(n) if n > 0 else None for n in counts[::step]],
                     "hoverinfo": "skip"}  # fmt: skip
        data.insert(0, frequency)
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "classes, most frequent first"}, "range": [0.4, c + 0.6],
                  "showgrid": False},
        "yaxis": {"title": {"text": f"{found.part} recall"}, "range": [-0.03, 1.03],
                  "tickformat": ".0%", "overlaying": "y2", "tickmode": "linear", "tick0": 0,
                  "dtick": 0.2},
        "yaxis2": {"visible": False, "type": "log", "side": "right", "fixedrange": True},
    }  # fmt: skip
    if c <= 12:
        ticks = [label(found.class_names[i], 14) for i in order]
        layout["xaxis"] |= {"tickvals": list(range(1, c + 1)), "ticktext": ticks}
    smooth = f" (means of {width} neighbouring classes)" if width > 1 else ""
    first = found.standings[0]
    alt = (
        f"Recall of {integer(c)} classes sorted by training count{smooth}, one line for each of "
        f"{len(found.standings)} recipes, over the training samples in grey (log scale). {first.recipe} "
        f"leads with {percent(first.mean['balanced_accuracy'])} % balanced accuracy."
    )
    return Figure(
        "recalls", "Recall of each class by recipe", alt, data, layout, _tall(380, len(data))
    )
