"""The charts of one run, as plain Plotly specifications.

A colour is named by its role (``var(--accent)``): the page's script replaces it by the colour of
the reader's light or dark theme. Text from data is escaped, since Plotly reads a little HTML.

Shape legend: ``C`` classes, ``N`` test rows.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtail.metrics import reliability, wilson
from longtail.reports.runs import RunFiles
from longtail.reports.words import decimal, integer, percent

__all__ = ["Figure", "epochs_axis", "label", "run_figures", "windowed_mean"]

ACCENT, INK, QUIET, LINE = "var(--accent)", "var(--ink)", "var(--quiet)", "var(--bar)"
BARS_UP_TO = 120  #: classes drawn as bars; above, as one filled line
MARKS_UP_TO = 300  #: classes drawn as vector marks; above, as one WebGL trace
HEATMAP_UP_TO = 25
BINS = 15


@dataclass(frozen=True)
class Figure:
    """One chart: ``id``, ``title``, a sentence that says what it shows, and the specification."""

    id: str
    title: str
    alt: str
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    height: int = 320
    note: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def spec(self) -> dict[str, Any]:
        """What the page's script needs to draw it."""
        return {"data": list(self.data), "layout": dict(self.layout), **self.extra}


def label(text: str, limit: int = 28) -> str:
    """Text for a Plotly label: cut at ``limit`` characters, never read as HTML."""
    short = text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return html.escape(short, quote=False)


def run_figures(run: RunFiles) -> dict[str, Figure]:
    """Every chart that the files of this run allow, by id."""
    made = [
        *_curves(run),
        _classes(run),
        _confusion(run),
        _calibration(run),
    ]
    return {figure.id: figure for figure in made if figure is not None}


def _series(run: RunFiles, key: str) -> list[float | None]:
    return [line.get(key) for line in run.epochs]


def _measured(values: Sequence[Any]) -> bool:
    return any(isinstance(v, int | float) and np.isfinite(v) for v in values)


def epochs_axis(epochs: int) -> dict[str, Any]:
    """An axis of whole epochs."""
    few = {"dtick": 1} if epochs <= 10 else {}
    return {"title": {"text": "epoch"}, "tickformat": "d", **few}


def _ends(values: Sequence[Any], show: Any) -> str:
    known = [v for v in values if isinstance(v, int | float) and np.isfinite(v)]
    return f"from {show(known[0])} to {show(known[-1])}" if known else "not measured"


def _stages(run: RunFiles) -> dict[str, Any]:
    """Dotted lines and names where a new stage begins."""
    stages = [line.get("stage") for line in run.epochs]
    starts = [i for i in range(1, len(stages)) if stages[i] != stages[i - 1]]
    line = {"type": "line", "yref": "paper", "y0": 0, "y1": 1}
    style = {"color": QUIET, "width": 1, "dash": "dot"}
    names = [0, *starts] if starts else []
    return {
        "shapes": [{**line, "x0": i + 0.5, "x1": i + 0.5, "line": style} for i in starts],
        "annotations": [
            {"x": i + 0.5, "y": 1, "yref": "paper", "yanchor": "top", "xanchor": "left",
             "text": label(_stage_name(stages[i]), 18), "showarrow": False, "font": {"size": 11}}
            for i in names
        ],
    }  # fmt: skip


def _stage_name(stage: Any) -> str:
    return f"stage {stage + 1}" if isinstance(stage, int) else str(stage)


def _trace(
    x: Sequence[Any], y: Sequence[Any], name: str, color: str, **more: Any
) -> dict[str, Any]:
    mode = "lines" if len(x) > 1 else "markers"
    line = {"color": color, "width": 2, **more.pop("line", {})}
    return {"type": "scatter", "mode": mode, "x": x, "y": y, "name": name, "line": line,
            "marker": {"color": color}, **more}  # fmt: skip


KNOWN = {
    "stage", "stage_number", "epoch", "loss", "lr", "train_balanced_accuracy", "validation_balanced_accuracy",
    "seconds", "step", "steps", "samples_seen", "train_accuracy", "validation_accuracy",
}  # fmt: skip


def _curves(run: RunFiles) -> list[Figure]:
    if not run.epochs:
        return []
    x = list(range(1, len(run.epochs) + 1))
    axis = epochs_axis(len(x))
    stages = _stages(run)
    out = []
    loss = _series(run, "loss")
    if _measured(loss):
        parts = sorted({k for line in run.epochs for k in line} - KNOWN)
        parts = [p for p in parts if _measured(_series(run, p))][:6]
        data = [_trace(x, loss, "loss", ACCENT)]
        styles = ("dot", "dash", "dashdot", "longdash", "longdashdot", "5px 2px")
        data += [
            _trace(x, _series(run, p), label(p), QUIET, line={"dash": s, "width": 1.5})
            for p, s in zip(parts, styles, strict=False)
        ]
        alt = f"Training loss over {len(x)} epochs, {_ends(loss, decimal)}."
        layout = {"xaxis": axis, "yaxis": {"title": {"text": "loss"}}, **stages}
        out.append(Figure("loss", "Loss", alt, data, layout))
    keys = {"train": "train_balanced_accuracy", "validation": "validation_balanced_accuracy"}
    lines = {name: _series(run, key) for name, key in keys.items()}
    lines = {name: values for name, values in lines.items() if _measured(values)}
    if lines:
        color = {"train": QUIET, "validation": ACCENT}
        data = [
            _trace(x, values, name, color[name] if len(lines) > 1 else ACCENT)
            for name, values in lines.items()
        ]
        said = "; ".join(f"{k} {_ends(v, percent)} %" for k, v in lines.items())
        layout = {"xaxis": axis, "yaxis": _share("balanced accuracy"), **stages}
        alt = f"Balanced accuracy over {len(x)} epochs: {said}."
        out.append(Figure("accuracy-curve", "Balanced accuracy", alt, data, layout))
    rate = _series(run, "lr")
    if _measured(rate):
        layout = {"xaxis": axis, "yaxis": {"title": {"text": "learning rate"}}, **stages}
        alt = f"Learning rate over {len(x)} epochs, {_ends(rate, lambda v: f'{v:.3g}')}."
        data = [_trace(x, rate, "learning rate", ACCENT)]
        out.append(Figure("lr", "Learning rate", alt, data, layout, height=260))
    return out


def _share(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": title}, "tickformat": ".0%", "rangemode": "tozero", **more}


def windowed_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Mean of the ``width`` neighbours of each entry; NaN entries are left out.

    Args:
        values: ``(C,)`` in plotting order.
        width: entries in the window (shorter at both ends).
    """
    known = np.isfinite(values)
    total = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    at = np.arange(len(values))
    low = np.maximum(at - width // 2, 0)
    high = np.minimum(at + (width + 1) // 2, len(values))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (total[high] - total[low]) / (count[high] - count[low])  # type: ignore[no-any-return]


def _classes(run: RunFiles) -> Figure | None:
    """Training count of each class, sorted, with its recall on top (right-hand axis)."""
    order = run.order
    counts, recall = run.counts[order], run.recall[order]
    c = len(order)
    if not c or not (np.isfinite(counts).any() or np.isfinite(recall).any()):
        return None
    x = list(range(1, c + 1))
    known = np.isfinite(counts) & (counts > 0)
    shown = [float(n) if ok else None for n, ok in zip(counts, known, strict=True)]
    frequency: dict[str, Any] = {"x": x, "y": shown, "name": "training samples"}
    if c <= BARS_UP_TO:
        frequency |= {"type": "bar", "marker": {"color": LINE}}
    else:
        frequency |= {"type": "scatter", "mode": "lines", "fill": "tozeroy", "fillcolor": LINE,
                      "line": {"color": QUIET, "width": 1, "shape": "hvh"}}  # fmt: skip
    large = c > MARKS_UP_TO
    marks = {
        "type": "scattergl" if large else "scatter", "mode": "markers", "x": x,
        "y": [round(float(r), 4) if np.isfinite(r) else None for r in recall], "yaxis": "y2",
        "name": "recall", "marker": {"color": ACCENT, "size": 3 if large else 7,
                                     "opacity": 0.15 if large else 1},
    }  # fmt: skip
    data = [frequency, marks]
    if large:
        width = max(9, c // 40)
        mean = windowed_mean(recall, width).round(4)
        data.append(
            _trace(x, mean.tolist(), f"mean recall of {width} neighbours", ACCENT, yaxis="y2")
        )
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "classes, most frequent first"}, "range": [0.4, c + 0.6],
                  "showgrid": False},
        "yaxis": {"title": {"text": "training samples"}, "type": "log", "showgrid": False,
                  **_log_ticks(counts[known])},
        "yaxis2": {"title": {"text": f"{run.part} recall"}, "overlaying": "y", "side": "right",
                   "range": [-0.03, 1.03], "tickformat": ".0%", "tickmode": "linear", "tick0": 0,
                   "dtick": 0.2},
        "bargap": 0.15 if c <= 40 else 0,
    }  # fmt: skip
    if c <= 12:
        ticks = [label(run.class_names[i], 14) for i in order]
        layout["xaxis"] |= {"tickvals": x, "ticktext": ticks}
    named = {"names": order.tolist(), "named_traces": [0, 1]}
    present = [n for n, ok in zip(counts, known, strict=True) if ok]
    span = f"{integer(max(present))} down to {integer(min(present))}" if present else "unknown"
    alt = (
        f"Training samples of {integer(c)} classes, {span}, with the {run.part} recall of each "
        "class on top. The class table below has every number."
    )
    return Figure("classes", "Frequency and recall of each class", alt, data, layout, 380,
                  extra=named)  # fmt: skip


def _log_ticks(counts: NDArray[np.float64]) -> dict[str, Any]:
    """Range and round ticks (1, 10, 100, and 2 and 5 between over a short span) of a log axis."""
    if not len(counts):
        return {}
    low, high = float(np.log10(counts.min())), float(np.log10(counts.max()))
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    ticks = [s * 10**p for p in range(int(low), int(high) + 2) for s in steps]
    bottom = max(0.0, low - 0.15) if low > 0 else -0.15
    return {"range": [round(bottom, 4), round(high + 0.08, 4)], "tickvals": ticks,
            "ticktext": [integer(t) for t in ticks]}  # fmt: skip


def _confusion(run: RunFiles) -> Figure | None:
    """Shares of each true class, for few classes; more classes have the table of pairs alone."""
    rows, c = run.predictions, run.num_classes
    if rows is None or not 2 <= c <= HEATMAP_UP_TO or not len(rows.target):
        return None
    order = run.order
    table = np.bincount(rows.target * c + rows.prediction, minlength=c * c).reshape(c, c)
    table = table[order][:, order]
    total = table.sum(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = table / total
    names = [label(run.class_names[i], 12) for i in order]
    at = list(range(c))
    z = [[round(float(v), 4) if np.isfinite(v) else None for v in row] for row in share]
    heat = {
        "type": "heatmap", "x": at, "y": at, "z": z, "zmin": 0, "zmax": 1, "customdata": table,
        "colorscale": [[0, "var(--paper)"], [1, ACCENT]], "xgap": 1, "ygap": 1,
        "showscale": False,
        "hovertemplate": "true %{y}<br>predicted %{x}<br>%{customdata} rows, %{z:.1%}<extra></extra>",
    }  # fmt: skip
    axis = {"tickvals": at, "ticktext": names, "showgrid": False, "ticks": ""}
    layout = {
        "xaxis": {**axis, "title": {"text": "predicted"}, "tickangle": -45},
        "yaxis": {**axis, "title": {"text": "true class, most frequent first"},
                  "autorange": "reversed"},
    }  # fmt: skip
    diagonal = np.diag(share)
    alt = (
        f"Confusion matrix of {c} classes, rows are true classes sorted by training count; shares "
        f"on the diagonal run from {percent(np.nanmin(diagonal))} to {percent(np.nanmax(diagonal))} %."
    )
    note = "Darker: a larger share of the true class."
    return Figure("confusion", "Confusion matrix", alt, [heat], layout, 300 + 9 * c, note)


def _calibration(run: RunFiles) -> Figure | None:
    """Reliability diagram: accuracy of each confidence bin with 95 % Wilson bars, counts below."""
    rows = run.predictions
    if rows is None or rows.confidence is None or not len(rows.target):
        return None
    confidence = np.clip(rows.confidence, 0.0, 1.0)
    known = np.isfinite(confidence)
    if not known.any():
        return None
    sums = reliability(confidence[known], rows.correct[known], bins=BINS)
    count, right, total = sums["count"], sums["correct"], sums["confidence"]
    used = np.flatnonzero(count)
    x = (total[used] / count[used]).round(4)
    y = (right[used] / count[used]).round(4)
    bounds = np.array([wilson(int(right[i]), int(count[i])) for i in used]).round(4)
    centre = ((sums["edges"][:-1] + sums["edges"][1:]) / 2).round(4)
    data: list[dict[str, Any]] = [
        _trace([0, 1], [0, 1], "perfect", QUIET, line={"dash": "dot", "width": 1}, hoverinfo="skip"),
        {"type": "scatter", "mode": "lines+markers", "x": x, "y": y, "name": "accuracy",
         "line": {"color": ACCENT, "width": 1.5}, "marker": {"color": ACCENT, "size": 7},
         "error_y": {"type": "data", "symmetric": False, "array": bounds[:, 1] - y,
                     "arrayminus": y - bounds[:, 0], "color": ACCENT, "thickness": 1, "width": 0},
         "customdata": count[used],
         "hovertemplate": "confidence %{x:.3f}<br>accuracy %{y:.3f}<br>%{customdata} rows"
                          "<extra></extra>"},
        {"type": "bar", "x": centre, "y": count, "yaxis": "y2", "name": "rows",
         "marker": {"color": LINE}, "width": 0.9 / BINS},
    ]  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "confidence"}, "range": [0, 1.02], "tickformat": ".0%",
                  "anchor": "y2"},
        "yaxis": {"title": {"text": "accuracy"}, "range": [0, 1.02], "tickformat": ".0%",
                  "domain": [0.3, 1]},
        "yaxis2": {"title": {"text": "rows"}, "domain": [0, 0.22], "rangemode": "tozero",
                   "nticks": 3},
    }  # fmt: skip
    alt = (
        f"Reliability diagram in {BINS} bins of {integer(count.sum())} {run.part} rows: mean "
        f"confidence {percent(total.sum() / count.sum())} %, accuracy "
        f"{percent(right.sum() / count.sum())} %."
    )
    note = "Dots above the dotted line: under-confident; below: over-confident. Bars: 95 % Wilson."
    return Figure("calibration", "Reliability diagram", alt, data, layout, 400, note)
