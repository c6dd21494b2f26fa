"""The run card: what a model is, how it was made and where it fails, as one Markdown page.

Generated from ``metrics.json`` and ``run.json`` alone; what is missing is "not measured".
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from longtail.metrics import gini, mdd
from longtail.reports.page_run import (
    MEASURES,
    adjusters,
    cost_facts,
    data_facts,
    measured,
    own_prior,
    target_prior,
    versions_of,
)
from longtail.reports.runs import GROUPS, RunFiles, read_run
from longtail.reports.tables import pairs_table, worst_table
from longtail.reports.words import DASH, decimal, integer, interval, percent, readable

__all__ = ["card_text", "write_card"]

MISSING = "not measured"
MAX_COUNTS = 50


def write_card(folder: Path | str) -> Path:
    """Write ``card.md`` into a run folder and return its path.

    Raises:
        DataError: the folder is no finished run.
    """
    run = read_run(folder)
    target = run.folder / "card.md"
    partial = target.with_name("card.md.partial")
    partial.write_text(card_text(run), encoding="utf-8")
    os.replace(partial, target)
    return target


def card_text(run: RunFiles) -> str:
    """The card as Markdown."""
    name = readable(run.data.get("name"))
    parts = [
        f"# {_escape(run.recipe)} on {_escape(name)}",
        _section("Use", _use(run)),
        _section("Data", [*data_facts(run), *_shape(run)]),
        _counts(run),
        _section("Training", _training(run)),
        _section("Prior", _prior(run)),
        _results(run),
        _worst(run),
        _section("Calibration", _calibration(run)),
        _section("Decision", _decision(run)),
        _section("Cost", cost_facts(run)),
        _notes(run),
        _section("Licence and contact", [
            ("Licence of weights and pre-training data", run.metrics.get("license")),
            ("Date", run.metrics.get("date") or run.run.get("date")),
            ("Contact", run.metrics.get("contact")),
        ]),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _escape(text: Any) -> str:
    """Text that Markdown and HTML readers show as it is."""
    flat = re.sub(r"\s+", " ", str(text))
    flat = flat.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", flat)


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else readable(value)
    return _escape(MISSING if text in (DASH, "") else text)


def _section(title: str, pairs: Sequence[tuple[str, Any]]) -> str:
    lines = [f"- {_escape(name)}: {_value(value)}" for name, value in pairs]
    return f"## {title}\n\n" + "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(_escape(h) for h in head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(_value(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _use(run: RunFiles) -> list[tuple[str, Any]]:
    kind = (run.run.get("inputs") or {}).get("kind")
    inputs = {"image": "images", "text": "texts", "table": "table rows"}.get(str(kind), "inputs")
    what = f"classify {inputs} into {integer(run.num_classes)} classes"
    return [
        ("Intended use", f"{what} of the kind that the training data hold"),
        ("Out of scope", "other classes, other kinds of input, and class shares far from the "
                         "target prior below"),
    ]  # fmt: skip


def _shape(run: RunFiles) -> list[tuple[str, Any]]:
    counts = run.counts
    known = len(counts) > 0 and bool((counts >= 0).all()) and counts.sum() > 0
    return [
        ("Gini index of the class counts", decimal(gini(counts)) if known else None),
        ("Audit", run.metrics.get("audit")),
    ]


def _counts(run: RunFiles) -> str:
    counts, names = run.counts, run.class_names
    if not run.num_classes:
        return ""
    order = run.order.tolist()
    shown = (
        order if len(order) <= MAX_COUNTS else order[: MAX_COUNTS // 2] + order[-MAX_COUNTS // 2 :]
    )
    tests = run.n_test
    rows = [
        (names[i], integer(counts[i]), DASH if tests is None else integer(tests[i]),
         percent(run.recall[i]))
        for i in shown
    ]  # fmt: skip
    title = "### Classes"
    if len(shown) < len(order):
        title += f"\n\nThe {len(shown) // 2} largest and {len(shown) // 2} smallest of {integer(len(order))}."
    head = ["class", "training samples", f"{run.part} rows", "recall %"]
    return title + "\n\n" + _table(head, rows)


def _training(run: RunFiles) -> list[tuple[str, Any]]:
    m = run.metrics
    return [
        ("Recipe", run.recipe),
        ("Seed", m.get("seed")),
        ("Epochs", m.get("epochs")),
        ("Optimiser steps", m.get("steps")),
        ("Samples seen", m.get("samples_seen")),
        ("Batch size", m.get("batch_size")),
        ("Device", m.get("device")),
        ("Versions", dict(versions_of(run))),
    ]


def _prior(run: RunFiles) -> list[tuple[str, Any]]:
    return [
        ("Prior the trained model answers to", own_prior(run)),
        ("Prior measured on labelled rows", measured(run)),
        ("Target prior", target_prior(run)),
        ("To change it", "longtail's target prior (natural, uniform, or a file of class shares) "
                         "shifts the logits without training"),
    ]  # fmt: skip


def _results(run: RunFiles) -> str:
    test, bounds = run.test, run.test.get("intervals") or {}
    rows = [(name, percent(test.get(key)), interval(bounds.get(key))) for key, name in MEASURES]
    rows.append(("Macro F1", percent(test.get("macro_f1")), interval(bounds.get("macro_f1"))))
    rule = (run.metrics.get("groups") or {}).get("rule")
    head = [f"{run.part} measure", "%", "95 % interval"]
    text = f"## Results\n\nGroups: {_value(rule)}.\n\n" + _table(head, rows)
    extra = [
        ("Compared with baselines", run.metrics.get("comparison")),
        ("Smallest difference in balanced accuracy that these rows can show", _detectable(run)),
    ]
    return text + "\n\n" + "\n".join(f"- {_escape(n)}: {_value(v)}" for n, v in extra)


def _detectable(run: RunFiles) -> str:
    rows = run.n_test
    if rows is None or not rows.any():
        return DASH
    return f"{percent(mdd(rows))} points (two methods that differ on a fifth of the rows)"


def _worst(run: RunFiles) -> str:
    never = run.test.get("never_predicted")
    said = MISSING if never is None else ", ".join(map(str, never[:20])) or "none"
    if never is not None and len(never) > 20:
        said += f" and {len(never) - 20} more"
    out = f"## Known failures\n\n- Classes never predicted: {_escape(said)}"
    for found, title in ((worst_table(run), "Worst classes"), (pairs_table(run), "Confused pairs")):
        if found is None:
            out += f"\n- {title}: {MISSING}"
            continue
        rows = [row.cells for row in found.rows[:5]]
        out += f"\n\n{_escape(found.caption.split(';')[0])}:\n\n" + _table(
            [c.name for c in found.columns], rows
        )
    return out


def _calibration(run: RunFiles) -> list[tuple[str, Any]]:
    test = run.test
    groups, floor = test.get("ece_groups") or {}, test.get("ece_floor")
    rows = [
        ("NLL", decimal(test.get("nll"))),
        ("Brier score (sum over classes)", decimal(test.get("brier"))),
        ("ECE (15 bins of equal width)", decimal(test.get("ece"))),
        ("ECE of a perfectly calibrated model (noise floor)", decimal(floor[0]) if floor else DASH),
    ]
    return rows + [(f"ECE of the {name} group", decimal(groups.get(name))) for name in GROUPS]


def _decision(run: RunFiles) -> list[tuple[str, Any]]:
    m = run.metrics
    return [
        ("Rule", m.get("decision") or "the class with the largest probability"),
        ("Fitted after training", adjusters(run)),
        ("Rejection rate by group", m.get("rejection")),
        ("Coverage", m.get("coverage")),
        ("Drift settings", m.get("drift")),
    ]


def _notes(run: RunFiles) -> str:
    notes = run.metrics.get("notes") or ()
    return "## Notes\n\n" + "\n".join(f"- {_escape(n)}" for n in notes) if notes else ""
