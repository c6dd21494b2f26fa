"""What the page of one run says, as plain values for its template."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import yaml

from longtail.registry import records
from longtail.reports.figures import run_figures
from longtail.reports.priors import aims_at, answers_to, last_parts, measured_text
from longtail.reports.runs import GROUPS, RunFiles
from longtail.reports.tables import (
    calibration_table,
    class_columns,
    group_table,
    pairs_table,
    worst_table,
)
from longtail.reports.words import (
    DASH,
    amount,
    clean,
    decimal,
    duration,
    integer,
    interval,
    percent,
    readable,
)

__all__ = ["cost_facts", "data_facts", "latency", "run_view"]

SECTIONS = (
    ("results", "Results"), ("worst", "Where it fails"), ("images", "Worst images"),
    ("classes", "Classes"), ("class-table", "All classes"), ("calibration-s", "Calibration"),
    ("training", "Training"), ("cost", "Cost"), ("conditions", "Data and conditions"),
    ("recipe", "Recipe"),
)  # fmt: skip
CURVES = ("loss", "accuracy-curve", "lr")
MEASURES = (
    ("balanced_accuracy", "Balanced accuracy"),
    ("accuracy", "Accuracy"),
    *((group, group.capitalize()) for group in GROUPS),
)
MAX_IMAGES = 48
NAMES_SHOWN = 20


def run_view(run: RunFiles) -> dict[str, Any]:
    """Variables of ``run.html``."""
    figures = run_figures(run)
    images = thumbnails(run)
    versions = versions_of(run)
    return {
        "title": f"{run.recipe} on {readable(run.data.get('name'))} - longtail report",
        "kicker": "Training report",
        "heading": f"{run.recipe} on {readable(run.data.get('name'))}",
        "facts": _facts(run),
        "sections": [s for s in SECTIONS if s[0] != "images" or images],
        "results_hint": _results_hint(run),
        "tiles": _tiles(run),
        "notes": [str(note) for note in run.metrics.get("notes") or ()],
        "never": _never(run),
        "worst": worst_table(run),
        "pairs": pairs_table(run),
        "images": images,
        "groups": group_table(run),
        "class_note": "Recall with its 95 % Wilson interval. Grey: under 10 rows to judge by.",
        "calibration": calibration_table(run),
        "scores": [
            ("NLL", decimal(run.test.get("nll"))),
            ("Brier score (sum over classes)", decimal(run.test.get("brier"))),
            ("Mean confidence minus accuracy", decimal(run.test.get("ece_signed"))),
        ],
        "figures": figures,
        "curves": [figures[name] for name in CURVES if name in figures],
        "cost": cost_facts(run),
        "data_facts": data_facts(run),
        "conditions": _conditions(run),
        "recipe_yaml": _recipe_yaml(run),
        "version": versions.get("longtail", ""),
        "source": run.folder.name or "a run folder",
        "embedded": {
            "figures": {name: figure.spec() for name, figure in figures.items()},
            "table": class_columns(run),
        },
    }


def _facts(run: RunFiles) -> list[tuple[str, str]]:
    facts = [
        ("classes", integer(run.num_classes)),
        ("training samples", integer(np.nansum(run.counts)) if run.num_classes else "-"),
        ("seed", readable(run.seed)),
        ("epochs", readable(run.metrics.get("epochs"))),
        ("device", readable(run.metrics.get("device"))),
    ]
    return [(name, value) for name, value in facts if value != "-"]


def _results_hint(run: RunFiles) -> str:
    rows = run.n_test
    of = f"{integer(rows.sum())} {run.part} rows" if rows is not None else f"the {run.part} part"
    rule = (run.metrics.get("groups") or {}).get("rule")
    groups = f" Groups: {rule}." if rule else ""
    return f"Measured on {of}; in percent, with 95 % intervals; one seed, whose own randomness the intervals leave out.{groups}"


def _tiles(run: RunFiles) -> list[dict[str, Any]]:
    test, bounds = run.test, run.test.get("intervals") or {}
    tiles = [
        {"name": name, "value": percent(test.get(key)), "unit": "%",
         "detail": interval(bounds.get(key)) if test.get(key) is not None else _why(run, key),
         "lead": key == "balanced_accuracy"}
        for key, name in MEASURES
    ]  # fmt: skip
    floor = test.get("ece_floor")
    chance = f"noise floor {decimal(floor[0])}" if floor else "calibration error"
    never = test.get("never_predicted")
    tiles.append({"name": "ECE", "value": decimal(test.get("ece")), "detail": chance})
    known = None if never is None else len(never)
    tiles.append({"name": "Never predicted", "value": integer(known),
                  "detail": f"of {integer(run.num_classes)} classes"})  # fmt: skip
    return tiles


def _why(run: RunFiles, key: str) -> str:
    if key in GROUPS and not run.group_ids[key]:
        return "no such class"
    return "not measured"


def _never(run: RunFiles) -> str:
    never = run.test.get("never_predicted")
    if never is None:
        return "Never-predicted classes: not measured."
    if not never:
        return "Every class that has rows was predicted at least once."
    shown = ", ".join(str(name) for name in never[:NAMES_SHOWN])
    more = f" and {integer(len(never) - NAMES_SHOWN)} more" if len(never) > NAMES_SHOWN else ""
    some = "1 class was" if len(never) == 1 else f"{integer(len(never))} classes were"
    return f"{some} never predicted: {shown}{more}."


def latency(value: Any) -> str:
    """Latency in milliseconds; several batch sizes are named."""
    if isinstance(value, Mapping):
        known = [(k, decimal(v, 2)) for k, v in value.items()]
        return ", ".join(f"{v} ms ({k.replace('_', ' ')})" for k, v in known) or "-"
    text = decimal(value, 2)
    return text if text == "-" else f"{text} ms"


def cost_facts(run: RunFiles) -> list[tuple[str, str]]:
    """What the run cost, each with its unit."""
    m = run.metrics
    return [
        ("Parameters", amount(m.get("parameters"))),
        ("Training time", duration(m.get("seconds"))),
        ("Optimiser steps", integer(m.get("steps"))),
        ("Samples seen", amount(m.get("samples_seen"))),
        ("Latency per row", latency(m.get("latency_ms"))),
        ("Device", readable(m.get("device"))),
    ]


def data_facts(run: RunFiles) -> list[tuple[str, str]]:
    """What the run was trained on."""
    counts = run.counts[np.isfinite(run.counts)]
    filled = counts[counts > 0]
    factor = f"{filled.max() / filled.min():.4g}" if len(filled) else "-"
    empty = len(counts) - len(filled)
    return [
        ("Name", readable(run.data.get("name"))),
        ("Fingerprint", readable(run.data.get("fingerprint"))),
        ("Classes", integer(run.num_classes)),
        ("Training samples", integer(counts.sum()) if len(counts) else "-"),
        ("Largest and smallest class",
         f"{integer(filled.max())} and {integer(filled.min())}" if len(filled) else "-"),
        ("Imbalance factor", factor + (f" (without {empty} empty classes)" if empty else "")),
        ("Too small to be judged", readable(run.data.get("not_evaluable") or "no class")),
        ("Shot groups", readable((run.metrics.get("groups") or {}).get("rule"))),
    ]  # fmt: skip


def versions_of(run: RunFiles) -> Mapping[str, Any]:
    """Package versions, from either JSON file."""
    found = run.metrics.get("versions") or run.run.get("versions") or {}
    return found if isinstance(found, Mapping) else {"longtail": str(found)}


def _conditions(run: RunFiles) -> list[tuple[str, str]]:
    m = run.metrics
    return [
        ("Seed", readable(run.seed)),
        ("Epochs", readable(m.get("epochs"))),
        ("Batch size", readable(m.get("batch_size"))),
        ("Device", readable(m.get("device"))),
        ("Prior the model answers to", own_prior(run)),
        ("Prior measured", measured(run)),
        ("Target prior", target_prior(run)),
        ("Fitted after training", adjusters(run)),
        *((name, readable(value)) for name, value in versions_of(run).items()),
    ]


def adjusters(run: RunFiles) -> str:
    """What was fitted after training and travels with the model; its short values only."""
    said = []
    known = {r.target.rpartition(":")[2]: r.name for r in records("adjusters")}
    for about in run.metrics.get("adjusters") or ():
        short = {k: v for k, v in about.items() if not isinstance(v, list | Mapping)}
        built = str(short.pop("adjuster", ""))
        name = known.get(built, built)
        said.append(f"{name} ({readable(short)})" if short else name)
    return "; ".join(said) or "nothing"


def own_prior(run: RunFiles) -> str:
    """The prior that the model's own softmax answers to."""
    if "effective_prior" not in run.metrics:
        return DASH
    return answers_to(run.effective_prior, run.natural, run.class_names)


def measured(run: RunFiles) -> str:
    """The prior that labelled rows show, beside the declared one; validation rows come first."""
    parts = last_parts(run.run.get("recipe") or {})
    known: list[str] = []
    skipped: list[str] = []
    for part in ("validation", "test"):
        found = (run.metrics.get(part) or {}).get("measured_prior")
        if found:
            text = measured_text(found, part, run.natural, run.class_names, parts)
            (skipped if "skipped" in found else known).append(text)
    return next(iter([*known, *skipped]), DASH)


def target_prior(run: RunFiles) -> str:
    """The prior that the run's probabilities answer to."""
    if "target_prior" not in run.metrics:
        return DASH
    word, numbers = run.metrics["target_prior"], run.run.get("target")
    return aims_at(word, numbers, run.effective_prior, run.natural, run.class_names)


def _recipe_yaml(run: RunFiles) -> str:
    recipe = run.run.get("recipe")
    if not recipe:
        return ""
    return str(yaml.safe_dump(clean(recipe), sort_keys=False, allow_unicode=True, width=96))


def thumbnails(run: RunFiles) -> list[Mapping[str, str]]:
    """Worst images that can be shown: base64 text only, so that nothing else gets in."""
    fine = re.compile(r"[A-Za-z0-9+/=\s]+")
    return [
        t
        for t in run.thumbnails[:MAX_IMAGES]
        if fine.fullmatch(str(t.get("png", ""))) and "class" in t and "prediction" in t
    ]
