"""Several runs side by side: recipes x seeds, and what can be said of their differences.

Every statistic comes from :mod:`longtail.metrics`; this file only gathers runs and asks.

Shape legend: ``C`` classes, ``N`` test rows, ``S`` seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtail.errors import ConfigError, DataError, UnknownNameError
from longtail.metrics import Scores, compare_all, intervals
from longtail.reports.runs import GROUPS, RunFiles, read_run
from longtail.reports.words import clean
from longtail.types import ClassStats

__all__ = ["PAIRED", "Comparison", "Difference", "Standing", "compare_runs"]

PAIRED = ("balanced_accuracy", "few", "accuracy")
AVERAGED = (
    "accuracy", "balanced_accuracy", *GROUPS, "ece", "nll", "brier", "never_predicted",
)  # fmt: skip
MAX_SETTINGS = 3  #: shown behind a name where runs of one recipe differ
COSTS = ("parameters", "seconds", "steps", "samples_seen", "epochs", "batch_size")


@dataclass(frozen=True, eq=False)
class Standing:
    """One recipe: the means over its seeds.

    Attributes:
        recipe: name, with the settings in which runs of one recipe differ.
        runs: its runs, one a seed.
        mean: measure -> mean over seeds, ``None`` where not measured.
        deviation: measure -> standard deviation over seeds, ``None`` with one seed.
        interval: measure -> 95 % interval over test rows, of the mean over seeds.
        cost: measure -> mean over seeds.
        recall: ``(C,)`` mean over seeds; NaN without test rows.
    """

    recipe: str
    runs: tuple[RunFiles, ...]
    mean: Mapping[str, float | None]
    deviation: Mapping[str, float | None]
    interval: Mapping[str, Sequence[float] | None]
    cost: Mapping[str, float | None]
    recall: NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """One recipe against the baseline in one measure; all values are fractions.

    Attributes:
        recipe: name.
        delta: recipe minus baseline.
        interval: 95 % interval of ``delta`` over test rows.
        p: two-sided; ``p_holm`` adjusted over the recipes shown.
        p_holm: as above.
        mdd: the smallest difference that this test set would show.
        verdict: ``better``, ``worse``, ``within noise`` or ``cannot tell``.
    """

    recipe: str
    delta: float
    interval: tuple[float, float]
    p: float
    p_holm: float
    mdd: float
    verdict: str


@dataclass(frozen=True, eq=False)
class Comparison:
    """Standings (best balanced accuracy first) and paired differences from one baseline.

    Attributes:
        standings: one a recipe.
        baseline: name of the recipe that the others are compared with.
        differences: measure -> one entry a recipe, without the baseline.
        notes: sentences for the reader.
    """

    standings: tuple[Standing, ...]
    baseline: str
    differences: Mapping[str, tuple[Difference, ...]]
    notes: tuple[str, ...]

    @property
    def first(self) -> RunFiles:
        """The run that names the data (the best recipe's first seed)."""
        return self.standings[0].runs[0]

    @property
    def class_names(self) -> tuple[str, ...]:
        """``(C,)``."""
        return self.first.class_names

    @property
    def counts(self) -> NDArray[np.float64]:
        """``(C,)`` training counts."""
        return self.first.counts

    @property
    def order(self) -> NDArray[np.int64]:
        """``(C,)`` class ids by descending training count."""
        return self.first.order

    @property
    def part(self) -> str:
        """Part of the data that was measured."""
        return self.first.part

    def to_data(self) -> dict[str, Any]:
        """Plain dictionary for JSON: baseline, standings, differences and notes."""
        standings = [
            {"recipe": s.recipe, "seeds": [run.seed for run in s.runs], "mean": s.mean,
             "deviation": s.deviation, "interval": s.interval, "cost": s.cost}
            for s in self.standings
        ]  # fmt: skip
        rows = {metric: [asdict(d) for d in found] for metric, found in self.differences.items()}
        out: dict[str, Any] = clean(
            {"baseline": self.baseline, "standings": standings, "differences": rows,
             "notes": self.notes}
        )  # fmt: skip
        return out


def compare_runs(
    folders: Sequence[RunFiles | Path | str], *, baseline: str | None = None
) -> Comparison:
    """Gather runs by recipe and compare every recipe with the baseline.

    Args:
        folders: recipes x seeds, of the same data: run folders, or what was read from them.
        baseline: a recipe; default ``ce`` if present, else the first.

    Raises:
        ConfigError: no folder given.
        DataError: runs with different classes or test rows.
        UnknownNameError: no such baseline.
    """
    runs = [f if isinstance(f, RunFiles) else read_run(f) for f in folders]
    if not runs:
        raise ConfigError("there is no run to compare", "give at least one run folder")
    _same_classes(runs)
    by_recipe: dict[str, list[RunFiles]] = {}
    for name, run in zip(labels(runs), runs, strict=True):
        by_recipe.setdefault(name, []).append(run)
    if baseline is None:
        baseline = "ce" if "ce" in by_recipe else next(iter(by_recipe))
    if baseline not in by_recipe:
        raise UnknownNameError("recipe among these runs named", baseline, by_recipe)
    stats = _stats(runs[0])
    scores = _scores(by_recipe)
    standings = [
        _standing(name, group, scores.get(name), stats) for name, group in by_recipe.items()
    ]
    standings.sort(key=_rank)
    differences = _differences(scores, stats, baseline)
    notes = _notes(by_recipe, scores, baseline)
    return Comparison(tuple(standings), baseline, differences, tuple(notes))


def labels(runs: Sequence[RunFiles]) -> list[str]:
    """Name of each run's recipe, with the settings in which runs of one recipe differ.

    ``la`` twice with other ``tau`` becomes ``la (tau=1.0)`` and ``la (tau=2.0)``.
    """
    settings = [_settings(run) for run in runs]
    out = []
    for run, own in zip(runs, settings, strict=True):
        same = [s for r, s in zip(runs, settings, strict=True) if r.recipe == run.recipe]
        keys = sorted({k for s in same for k in s if any(s[k] != o.get(k) for o in same)})
        named = [k for k in keys if k.startswith("recipe.options.")] or keys
        words = [f"{k.rsplit('.', 1)[-1]}={own.get(k)}" for k in named[:MAX_SETTINGS]]
        out.append(f"{run.recipe} ({', '.join(words)})" if words else run.recipe)
    return out


def _settings(run: RunFiles) -> dict[str, Any]:
    """What makes the run this run, flat, without the seed and the data."""
    source = dict(run.run.get("identity") or {"recipe": run.run.get("recipe") or {}})
    for name in ("seed", "data"):
        source.pop(name, None)
    return dict(_flat(source, ""))


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    pairs: Any = ()
    if isinstance(value, Mapping):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    else:
        yield path, value
    for key, inner in pairs:
        yield from _flat(inner, f"{path}.{key}" if path else str(key))


def _rank(standing: Standing) -> tuple[float, str]:
    value = standing.mean["balanced_accuracy"]
    return (-value if value is not None else math.inf, standing.recipe)


def _same_classes(runs: Sequence[RunFiles]) -> None:
    first = runs[0]
    for run in runs[1:]:
        if run.class_names != first.class_names:
            raise DataError(
                f"{str(run.folder)!r} and {str(first.folder)!r} have different classes",
                "compare runs of the same data",
            )


def _stats(run: RunFiles) -> ClassStats | None:
    counts = run.counts
    if len(counts) < 2 or not np.isfinite(counts).all() or not counts.sum():
        return None
    named = bool(run.run.get("benchmark", False))
    return ClassStats(counts.tolist(), run.class_names, on_empty="ignore", benchmark=named)


def _scores(by_recipe: Mapping[str, Sequence[RunFiles]]) -> dict[str, Scores]:
    """Recipes whose runs all have predictions."""
    out = {}
    for name, group in by_recipe.items():
        rows = [run.predictions for run in group if run.predictions is not None]
        if len(rows) == len(group) and all(len(r.target) for r in rows):
            out[name] = Scores.of(rows)
    return out


def _number(value: Any) -> float | None:
    if isinstance(value, list | tuple):
        return float(len(value))
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _deviation(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.std(known, ddof=1)) if len(known) > 1 else None


def _latency(run: RunFiles) -> float | None:
    value = run.metrics.get("latency_ms")
    if isinstance(value, Mapping):
        value = value.get("batch_1", next(iter(value.values()), None))
    return _number(value)


def _standing(
    name: str, runs: Sequence[RunFiles], scores: Scores | None, stats: ClassStats | None
) -> Standing:
    columns = {key: [_number(run.test.get(key)) for run in runs] for key in AVERAGED}
    cost = {key: _mean([_number(run.metrics.get(key)) for run in runs]) for key in COSTS}
    cost["latency_ms"] = _mean([_latency(run) for run in runs])
    bounds: Mapping[str, Sequence[float] | None] = {}
    if scores is not None and stats is not None:
        bounds = intervals(scores.target, scores.correct.mean(0), stats)
    elif len(runs) == 1:
        bounds = runs[0].test.get("intervals") or {}
    recall = np.stack([run.recall for run in runs])
    return Standing(
        recipe=name,
        runs=tuple(runs),
        mean={key: _mean(values) for key, values in columns.items()},
        deviation={key: _deviation(values) for key, values in columns.items()},
        interval=bounds,
        cost=cost,
        recall=recall.mean(0),
    )


def _differences(
    scores: Mapping[str, Scores], stats: ClassStats | None, baseline: str
) -> dict[str, tuple[Difference, ...]]:
    if stats is None or baseline not in scores or len(scores) < 2:
        return {}
    out = {}
    for metric in PAIRED:
        found = compare_all(scores, stats, baseline=baseline, metric=metric)
        rows = tuple(
            Difference(name, row.delta, row.interval, row.p, row.p_holm, row.mdd, row.verdict)
            for name, row in found.items()
            if row is not None
        )
        if rows:
            out[metric] = rows
    return out


def _notes(
    by_recipe: Mapping[str, Sequence[RunFiles]], scores: Mapping[str, Scores], baseline: str
) -> list[str]:
    runs = [run for group in by_recipe.values() for run in group]
    notes = []
    prints = {str(run.data.get("fingerprint")) for run in runs}
    if len(prints) > 1:
        notes.append(
            f"The runs were trained on {len(prints)} different data sets (fingerprints differ): "
            "differences are of data and recipe together."
        )
    single = [name for name, group in by_recipe.items() if len(group) == 1]
    if single:
        which = "Every recipe" if len(single) == len(by_recipe) else ", ".join(single[:8])
        notes.append(f"{which}: one seed, so the intervals ignore the randomness of training.")
    for name, group in by_recipe.items():
        seeds = [run.seed for run in group]
        if len(set(map(str, seeds))) < len(seeds):
            notes.append(
                f"{name}: the same seed occurs more than once; its deviation is too small."
            )
    missing = [name for name in by_recipe if name not in scores]
    if missing:
        notes.append(
            f"Without predictions.npz of all seeds, and so without paired differences: "
            f"{', '.join(missing[:8])}."
        )
    for value, what in (("steps", "optimiser steps"), ("samples_seen", "samples seen")):
        seen = {run.metrics.get(value) for run in runs if run.metrics.get(value) is not None}
        if len(seen) > 1:
            notes.append(f"Recipes differ in {what}: see the cost columns.")
    own = dict.fromkeys(str(note) for run in runs for note in run.metrics.get("notes") or ())
    return notes + list(own)[:12]
