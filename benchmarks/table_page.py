"""Writes docs/results.md from the finished rows of ``table.py``."""

from __future__ import annotations

import base64
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from longtail.metrics import paired
from longtail.metrics.significance import enough_draws, holm, verdict
from longtail.types import ClassStats

__all__ = ["write"]

METRICS = ("balanced_accuracy", "many", "medium", "few", "accuracy", "ece")
#: rows that are held against another baseline than ce of the same set
OTHER_BASELINE = {
    ("fashion", "pseudo_label"): ("fashion-labelled", "ce"),
    ("fashion-x4-alpha", "mixup"): ("fashion-x4", "ce"),
    ("fashion-vs", "vs"): ("fashion", "ce"),
    ("fashion-tde", "tde"): ("fashion", "ce"),
    ("fashion-etf", "etf"): ("fashion", "ce"),
}
HEAD = """# Results

Written by `python benchmarks/table.py write` from `benchmarks/results/*.jsonl`; every row carries its
command, seed, steps, samples seen, seconds and versions there. Accuracy in %, mean over seeds
(deviation over seeds in brackets); `ece` as a fraction. "against ce" is the paired difference of
balanced accuracy over the same test rows, a row's score being its mean over seeds, with its 95 %
interval (2,000 resamples within class, 100 a recipe where that is more) and, after Holm, the verdict. With one seed the interval
ignores training randomness. The last epoch is reported; the test set selects nothing.

Budget of the tables: short (see each title), the recipe's own learning rate, cosine to zero, one
CPU thread a run. These are not the published schedules: compare rows within a table only.
"""


def write(sets: Mapping[str, Any], results: Path, page: Path) -> int:
    """Write the page from the rows and their bits."""
    text = [HEAD]
    for name, table in sets.items():
        file = results / f"{name}.jsonl"
        if not file.is_file():
            text.append(f"## {table.title}\n\nNot run yet.\n")
            continue
        rows = _rows(results, name)
        text.append(_section(name, table, rows, _against(name, rows, results)))
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")
    print(f"wrote {page.name}")
    return 0


def _against(name: str, rows: list[dict[str, Any]], results: Path) -> dict[str, Any]:
    """Paired comparisons with the baseline; those of rows without bits are kept as they were."""
    kept = results / f"{name}-against.json"
    old = dict(json.loads(kept.read_text())) if kept.is_file() else {}
    there = {row["recipe"] for row in rows}
    found = {k: v for k, v in {**old, **_compare(name, rows, results)}.items() if k in there}
    for data, p in zip(found.values(), holm([d["p"] for d in found.values()]), strict=True):
        data["p_holm"] = float(p)
        data["verdict"] = verdict(data["delta"], float(p), data["mdd"])
    if found:
        kept.write_text(json.dumps(found, indent=1) + "\n")
    return found


def _compare(name: str, rows: list[dict[str, Any]], results: Path) -> dict[str, Any]:
    """Every recipe that has bits against its baseline, over the seeds both have."""
    labels = results / f"{name}-test.npz"
    if not labels.is_file():
        return {}
    test = np.load(labels)
    stats = ClassStats(test["counts"].tolist(), test["names"].tolist(), on_empty="smooth")
    target = test["target"].astype(np.int64)
    mine = _bits(rows, len(target))
    draws = enough_draws(len(mine))
    out: dict[str, Any] = {}
    for recipe, seeds in mine.items():
        base = mine.get("ce", {})
        if (name, recipe) in OTHER_BASELINE:
            other, baseline = OTHER_BASELINE[name, recipe]
            base = _bits(_rows(results, other), len(target)).get(baseline, {})
        both = sorted(set(seeds) & set(base))
        if recipe != "ce" and both:
            a, b = (np.stack([x[s] for s in both]) for x in (seeds, base))
            found = paired(a, b, target, stats, draws=draws)["balanced_accuracy"]
            out[recipe] = found.to_data()
    return out


def _rows(results: Path, name: str) -> list[dict[str, Any]]:
    file = results / f"{name}.jsonl"
    return [json.loads(x) for x in file.read_text().splitlines()] if file.is_file() else []


def _bits(rows: list[dict[str, Any]], size: int) -> dict[str, dict[int, np.ndarray]]:
    """Recipe -> seed -> ``(N,)`` right or wrong."""
    out: dict[str, dict[int, np.ndarray]] = {}
    for row in rows:
        if "correct" in row:
            packed = np.frombuffer(base64.b64decode(row["correct"]), dtype=np.uint8)
            right = np.unpackbits(packed)[:size].astype(np.float64)
            out.setdefault(row["recipe"], {})[row["seed"]] = right
    return out


def _section(name: str, table: Any, rows: list[dict[str, Any]], against: dict[str, Any]) -> str:
    lines = [f"## {table.title}", "", _conditions(rows), ""]
    lines += [table.note, ""] if table.note else []
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
    lines += _precisions(rows)
    return "\n".join([*lines, "", f"Command of a row: `{rows[0]['command']}`", ""])


def _conditions(rows: list[dict[str, Any]]) -> str:
    versions = rows[0]["versions"]
    return (
        f"Data fingerprint `{rows[0]['fingerprint'][:12]}`, {rows[0]['machine']}, torch {versions['torch']}, "
        f"longtail {versions['longtail']}; seconds were taken on a machine that did other work too and paused some runs."
    )


def _precisions(rows: list[dict[str, Any]]) -> list[str]:
    """Which rows were trained in which precision, where a table holds both."""
    used: dict[str, list[str]] = {}
    for row in rows:
        words = row["command"].split()
        said = words[words.index("--precision") + 1] if "--precision" in words else "32"
        used.setdefault(said, []).append(f"{row['recipe']} (seed {row['seed']})")
    if len(used) < 2:
        return []
    parts = "; ".join(f"`--precision {p}`: {', '.join(who)}" for p, who in sorted(used.items()))
    return ["", f"bf16 where the CPU has instructions for it, else 32 bits. {parts}."]


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
