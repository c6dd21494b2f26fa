"""Writes docs/results.md from the finished rows of ``table.py``."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["write"]

METRICS = ("balanced_accuracy", "many", "medium", "few", "accuracy", "ece")
#: a recipe that is held against another baseline than ce of the same set
OTHER_BASELINE = {"pseudo_label": ("fashion-labelled", "ce")}
HEAD = """# Results

Written by `python benchmarks/table.py write` from `benchmarks/results/*.jsonl`; every row carries its
command, seed, steps, samples seen, seconds and versions there. Accuracy in %, mean over seeds
(deviation over seeds in brackets); `ece` as a fraction. "against ce" is the paired difference of
balanced accuracy over the same test rows, a row's score being its mean over seeds, with its 95 %
interval (2,000 resamples within class) and, after Holm, the verdict. With one seed the interval
ignores training randomness. The last epoch is reported; the test set selects nothing.

Budget of the tables: short (see each title), the recipe's own learning rate, cosine to zero, one
CPU thread a run. These are not the published schedules: compare rows within a table only.
"""


def write(sets: Mapping[str, Any], results: Path, runs: Path, page: Path) -> int:
    """Write the page; comparisons come from run folders, or from the last time they were there."""
    text = [HEAD]
    for name, table in sets.items():
        file = results / f"{name}.jsonl"
        if not file.is_file():
            text.append(f"## {table.title}\n\nNot run yet.\n")
            continue
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        text.append(_section(name, table, rows, _against(name, rows, results, runs)))
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")
    print(f"wrote {page.name}")
    return 0


def _against(name: str, rows: list[dict[str, Any]], results: Path, runs: Path) -> dict[str, Any]:
    """Paired comparisons with the baseline, kept in ``SET-against.json``."""
    kept = results / f"{name}-against.json"
    fresh = _compare(name, rows, runs)
    if fresh:
        kept.write_text(json.dumps(fresh, indent=1) + "\n")
        return fresh
    return dict(json.loads(kept.read_text())) if kept.is_file() else {}


def _compare(name: str, rows: list[dict[str, Any]], runs: Path) -> dict[str, Any]:
    from longtail.metrics import compare_all
    from longtail.types import ClassStats

    by_recipe: dict[str, list[Any]] = {}
    for row in sorted(rows, key=lambda r: r["seed"]):
        file = runs / name / f"{row['recipe']}-seed{row['seed']}" / "predictions.npz"
        if file.is_file():
            by_recipe.setdefault(row["recipe"], []).append(dict(np.load(file)))
    out: dict[str, Any] = {}
    plain = {k: v for k, v in by_recipe.items() if k not in OTHER_BASELINE}
    groups = [(plain, plain.get("ce"))]
    for recipe, (other, baseline) in OTHER_BASELINE.items():
        files = sorted((runs / other).glob(f"{baseline}-seed*/predictions.npz"))
        if recipe in by_recipe and files:
            base = [dict(np.load(f)) for f in files]
            groups.append(({recipe: by_recipe[recipe], "ce": base}, base))
    for members, base in groups:
        if not base or len(members) < 2:
            continue
        info = json.loads(next((runs / name).glob("ce-seed*/run.json")).read_text())
        stats = ClassStats(info["counts"], info["class_names"], on_empty="smooth")
        for recipe, found in compare_all({**members, "ce": base}, stats, baseline="ce").items():
            if found is not None:
                out[recipe] = found.to_data()
    return out


def _section(name: str, table: Any, rows: list[dict[str, Any]], against: dict[str, Any]) -> str:
    lines = [f"## {table.title}", "", _conditions(rows), ""]
    lines += ["| recipe | seeds | balanced | many | medium | few | accuracy | ece | against ce | steps | samples | seconds |",
              "|---|---|---|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    order = [r for r in table.recipes if any(x["recipe"] == r for x in rows)]
    order += sorted({x["recipe"] for x in rows} - set(order))
    for recipe in order:
        mine = [r for r in rows if r["recipe"] == recipe]
        cells = [_cell([r["test"][m] for r in mine], m) for m in METRICS]
        cost = [f"{mine[0][k]:,}" for k in ("steps", "samples_seen")]
        seconds = f"{statistics.mean(r['seconds'] for r in mine):.0f}"
        said = _verdict(against.get(recipe)) if recipe != "ce" else ""
        lines.append(
            " | ".join(["| " + recipe, str(len(mine)), *cells, said, *cost, seconds + " |"])
        )
    missing = []
    for recipe in table.recipes:
        there = {x["seed"] for x in rows if x["recipe"] == recipe}
        left = [str(s) for s in range(table.seeds) if s not in there]
        if left:
            missing.append(f"{recipe} (seed {', '.join(left)})")
    if missing:
        lines += ["", f"Not run yet: {'; '.join(missing)}."]
    return "\n".join([*lines, "", f"Command of a row: `{rows[0]['command']}`", ""])


def _conditions(rows: list[dict[str, Any]]) -> str:
    versions = rows[0]["versions"]
    return (
        f"Data fingerprint `{rows[0]['fingerprint'][:12]}`, {rows[0]['machine']}, torch {versions['torch']}, "
        f"longtail {versions['longtail']}; seconds were taken on a machine that did other work too."
    )


def _cell(values: list[float | None], metric: str) -> str:
    known = [v for v in values if v is not None]
    if not known:
        return "-"
    scale, digits = (1, 3) if metric == "ece" else (100, 2)
    mean = f"{scale * statistics.mean(known):.{digits}f}"
    return mean if len(known) < 2 else f"{mean} ({scale * statistics.stdev(known):.{digits}f})"


def _verdict(found: dict[str, Any] | None) -> str:
    if found is None:
        return "not compared"
    low, high = (100 * v for v in found["interval"])
    return f"{100 * found['delta']:+.2f} [{low:+.2f}, {high:+.2f}] {found['verdict']}"
