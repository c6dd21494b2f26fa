"""What the page of a comparison says, as plain values for its template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from longtail.reports.compare import Comparison, Difference, Standing, compare_runs, labels
from longtail.reports.figures_compare import comparison_figures
from longtail.reports.page_run import data_facts, versions_of
from longtail.reports.runs import GROUPS, RunFiles
from longtail.reports.tables import FEW_ROWS, Column, Row, Table, whole
from longtail.reports.words import (
    amount,
    decimal,
    duration,
    integer,
    interval,
    p_value,
    plus_minus,
    points,
    readable,
)

__all__ = ["MEASURE_NAMES", "compare_view", "difference_table", "leaderboard_table"]

MEASURE_NAMES = {
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "many": "recall of the many group",
    "medium": "recall of the medium group",
    "few": "recall of the few group",
}
SECTIONS = (
    ("results", "Leaderboard"), ("differences", "Differences"), ("training", "Training"),
    ("classes", "Classes"), ("class-table", "All classes"), ("cost", "Cost"),
    ("conditions", "Data and conditions"),
)  # fmt: skip
VERDICTS = (
    ("better, worse", "Holm-adjusted p under 0.05 and more than half a point apart."),
    ("within noise", "No difference is shown, or one of half a point at most."),
    ("cannot tell", "The test set is too small: it could only show more than 5 points."),
)
CURVES = ("validation-curves", "train-curves", "loss-curves")


def compare_view(runs: Sequence[RunFiles], *, baseline: str | None = None) -> dict[str, Any]:
    """Variables of ``compare.html``."""
    found = compare_runs(runs, baseline=baseline)
    figures = comparison_figures(found)
    name = readable(found.first.data.get("name"))
    count = len(found.standings)
    tables = [difference_table(found, metric) for metric in found.differences]
    return {
        "title": f"{count} recipes on {name} - longtail comparison",
        "kicker": "Comparison report",
        "heading": f"{count} recipes on {name}" if count > 1 else f"{found.baseline} on {name}",
        "facts": _facts(found, runs),
        "sections": SECTIONS,
        "results_hint": _results_hint(found),
        "leaderboard": leaderboard_table(found),
        "notes": found.notes,
        "baseline": found.baseline,
        "differences": tables,
        "differences_hint": (
            "Paired over the same test rows, each row's score averaged over seeds; 95 % intervals "
            "of 2 000 resamples within class; p-values are Holm-adjusted over the recipes shown."
        ),
        "no_differences": _no_differences(found),
        "verdicts": VERDICTS,
        "figures": figures,
        "curves": [figures[key] for key in CURVES if key in figures],
        "class_note": f"Mean {found.part} recall over seeds, in percent, one column a recipe.",
        "cost": cost_table(found),
        "data_facts": [*data_facts(found.first), ("Versions", _versions(runs))],
        "runs": _runs_table(runs),
        "version": versions_of(found.first).get("longtail", ""),
        "source": f"{len(runs)} run folders",
        "embedded": {
            "figures": {key: figure.spec() for key, figure in figures.items()},
            "table": _class_columns(found),
        },
    }


def _facts(found: Comparison, runs: Sequence[RunFiles]) -> list[tuple[str, str]]:
    seeds = sorted({str(run.seed) for run in runs})
    return [
        ("runs", integer(len(runs))),
        ("seeds", ", ".join(seeds[:10])),
        ("classes", integer(len(found.class_names))),
        ("baseline", found.baseline),
    ]


def _results_hint(found: Comparison) -> str:
    rule = (found.first.metrics.get("groups") or {}).get("rule")
    return (
        f"In percent of the {found.part} part: mean ± deviation over seeds; 95 % interval over "
        "test rows. Sorted by balanced accuracy; a place in this list is no verdict, the "
        "differences below are." + (f" Groups: {rule}." if rule else "")
    )


def _no_differences(found: Comparison) -> str:
    if len(found.standings) == 1:
        return "There is one recipe only: nothing to compare it with."
    return "Not measured: the runs have no predictions to pair."


def leaderboard_table(found: Comparison) -> Table:
    """One row a recipe, best balanced accuracy first."""
    names = ["seeds", "balanced acc.", "95 % interval", "accuracy", *GROUPS, "ECE",
             "never pred.", "params", "seconds"]  # fmt: skip
    columns = [Column("recipe", False), *(Column(name) for name in names)]
    rows = [Row(_leader_cells(s), "base" if s.recipe == found.baseline else "")
            for s in found.standings]  # fmt: skip
    caption = f"Leaderboard; the baseline {found.baseline} is shaded"
    return Table(caption, columns, rows, "whole")


def _leader_cells(s: Standing) -> list[str]:
    def measured(key: str) -> str:
        return plus_minus(s.mean[key], s.deviation[key])

    return [
        s.recipe, integer(len(s.runs)), measured("balanced_accuracy"),
        interval(s.interval.get("balanced_accuracy")), measured("accuracy"),
        *(measured(group) for group in GROUPS), decimal(s.mean["ece"]),
        decimal(s.mean["never_predicted"], 0 if len(s.runs) == 1 else 1),
        amount(s.cost["parameters"]), decimal(s.cost["seconds"], 1),
    ]  # fmt: skip


def difference_table(found: Comparison, metric: str) -> Table:
    """Paired differences of one measure, largest first."""
    names = ["difference", "95 % interval", "p (Holm)", "detectable from"]
    columns = [Column("recipe", False), *(Column(n) for n in names), Column("verdict", False)]
    rows = [
        Row(_difference_cells(d), d.verdict if d.verdict in ("better", "worse") else "")
        for d in sorted(found.differences[metric], key=lambda d: -d.delta)
    ]
    caption = f"Difference in {MEASURE_NAMES[metric]} from {found.baseline}, in points"
    return Table(caption, columns, rows)


def _difference_cells(d: Difference) -> list[str]:
    return [
        d.recipe, points(d.delta), interval(d.interval, signed=True), p_value(d.p_holm),
        points(d.mdd).lstrip("+"), d.verdict,
    ]  # fmt: skip


def cost_table(found: Comparison) -> Table:
    """What each recipe cost, means over seeds."""
    names = ["parameters", "training time", "steps", "samples seen", "epochs", "batch",
             "latency (ms)"]  # fmt: skip
    columns = [Column("recipe", False), *(Column(n) for n in names), Column("device", False)]
    rows = []
    for s in found.standings:
        c = s.cost
        devices = sorted({readable(run.metrics.get("device")) for run in s.runs})
        cells = [
            s.recipe, amount(c["parameters"]), duration(c["seconds"]), integer(c["steps"]),
            amount(c["samples_seen"]), integer(c["epochs"]), integer(c["batch_size"]),
            decimal(c["latency_ms"], 2), ", ".join(devices),
        ]  # fmt: skip
        rows.append(Row(cells, "base" if s.recipe == found.baseline else ""))
    return Table("Cost of one run, mean over seeds; latency of one row", columns, rows)


def _runs_table(runs: Sequence[RunFiles]) -> Table:
    columns = [Column("folder", False), Column("recipe", False), Column("seed"),
               Column("data fingerprint", False), Column("device", False)]  # fmt: skip
    rows = [
        Row([run.folder.name, name, readable(run.seed),
             readable(run.data.get("fingerprint"))[:12], readable(run.metrics.get("device"))])
        for name, run in zip(labels(runs), runs, strict=True)
    ]  # fmt: skip
    return Table("Runs that this page was made from", columns, rows)


def _versions(runs: Sequence[RunFiles]) -> str:
    """Versions once where all runs agree, else each set."""
    return "; ".join(dict.fromkeys(readable(dict(versions_of(run))) for run in runs))


def _class_columns(found: Comparison) -> dict[str, Any]:
    first = found.first
    columns: list[dict[str, Any]] = [
        {"name": "class", "kind": "text", "values": list(found.class_names)},
        {"name": "group", "kind": "text", "values": first.group_of_class()},
        {"name": "n train", "kind": "count", "values": whole(found.counts)},
    ]
    tests = first.n_test
    if tests is not None:
        columns.append({"name": f"n {found.part}", "kind": "count", "values": tests.tolist()})
    for s in found.standings:
        if len(s.recall) == len(found.class_names):
            values = [round(v, 3) for v in s.recall.tolist()]
            columns.append({"name": s.recipe, "kind": "share", "values": values})
    faint = (
        [0] * len(found.class_names) if tests is None else (tests < FEW_ROWS).astype(int).tolist()
    )
    return {"columns": columns, "groups": first.group_of_class(), "faint": faint, "sort": 2}
