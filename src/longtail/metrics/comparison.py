"""Paired comparison of methods over the same test rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from longtail.checks import check_between, check_whole
from longtail.errors import ConfigError, DataError, nearest
from longtail.metrics.bootstrap import STATISTICS, resample, score_table, statistic_weights
from longtail.metrics.checks import whole_numbers
from longtail.metrics.groups import group_index
from longtail.metrics.significance import enough_draws, holm, mdd, verdict
from longtail.types import ClassStats

__all__ = ["Comparison", "Scores", "compare", "compare_all", "confused_pairs", "paired"]

ONE_SEED = "one seed: training randomness is not measured"


@dataclass(frozen=True, eq=False)
class Scores:
    """What the runs (seeds) of one method had right, row by row, sorted by sample id.

    Attributes:
        ids: ``(N,)`` sample ids.
        target: ``(N,)`` labels.
        correct: ``(S, N)`` scores, one row a seed; 0/1 for accuracies.
    """

    ids: np.ndarray
    target: np.ndarray
    correct: np.ndarray

    @staticmethod
    def of(runs: Sequence[Any] | Scores) -> Scores:
        """From runs with ``ids``, ``target`` and ``prediction`` (objects, mappings, ``.npz``).

        Raises:
            DataError: repeated ids, or runs that were not tested on the same rows.
        """
        if isinstance(runs, Scores):
            return runs
        if not len(runs):
            raise DataError("a method without runs cannot be compared", "give one run at least")
        sorted_runs = [_sorted(run) for run in runs]
        ids, target, _ = sorted_runs[0]
        for other, labels, _ in sorted_runs[1:]:
            _same_rows(ids, target, other, labels)
        return Scores(ids, target, np.stack([r[2] for r in sorted_runs]))


def _sorted(run: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    def column(name: str) -> np.ndarray:
        try:
            return np.asarray(run[name] if isinstance(run, Mapping) else getattr(run, name))
        except (KeyError, AttributeError):
            raise DataError(
                f"a run of {type(run).__name__} has no {name!r}",
                "give ids, target and prediction of each test row",
            ) from None

    ids = column("ids").astype(str)
    target, said = (whole_numbers(k, column(k)) for k in ("target", "prediction"))
    if not ids.shape == target.shape == said.shape:
        raise DataError(
            f"a run has {ids.size} ids, {len(target)} targets and {len(said)} predictions",
            "give ids, target and prediction of each test row",
        )
    order = np.argsort(ids, kind="stable")
    ids, target = ids[order], target[order]
    twice = ids[1:][ids[1:] == ids[:-1]]
    if len(twice):
        raise DataError(
            f"{len(twice)} sample ids occur twice, such as {twice[0]!r}",
            "test rows need unique ids to be paired",
        )
    right = (said[order] == target).astype(np.float64)
    return ids, target, right


def _same_rows(a: np.ndarray, target_a: np.ndarray, b: np.ndarray, target_b: np.ndarray) -> None:
    if len(a) != len(b) or (a != b).any():
        only_a, only_b = len(np.setdiff1d(a, b)), len(np.setdiff1d(b, a))
        raise DataError(
            f"the runs were tested on different rows: {only_a} only in one, {only_b} only in the "
            "other",
            "compare runs of the same test set",
        )
    if (target_a != target_b).any():
        raise DataError(
            f"{int((target_a != target_b).sum())} test rows have different labels in two runs",
            "compare runs of the same test set and class order",
        )


@dataclass(frozen=True)
class Comparison:
    """One statistic of two methods, as fractions.

    Attributes:
        metric: one of accuracy, balanced_accuracy, many, medium, few.
        a: value of the method, mean over seeds.
        b: value of the baseline.
        delta: ``a - b``.
        interval: 95 % percentile interval of ``delta`` over test rows.
        se: standard error of ``delta`` over test rows (unbiased closed form).
        p: two-sided p-value of the bootstrap; ``p_holm`` adjusted over the methods shown.
        p_holm: as above.
        mdd: smallest difference this test set would show (from the discordance seen).
        seeds: seeds of method and baseline.
        seed_deviation: standard deviation over seeds of each, ``None`` with one seed.
        verdict: ``better``, ``worse``, ``within noise`` or ``cannot tell``.
        notes: sentences for the reader.
    """

    metric: str
    a: float
    b: float
    delta: float
    interval: tuple[float, float]
    se: float
    p: float
    p_holm: float
    mdd: float
    seeds: tuple[int, int]
    seed_deviation: tuple[float | None, float | None]
    verdict: str
    notes: tuple[str, ...] = ()

    def to_data(self) -> dict[str, Any]:
        """Plain dictionary for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def compare(
    a: Sequence[Any] | Scores,
    b: Sequence[Any] | Scores,
    stats: ClassStats,
    *,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Comparison | None]:
    """Paired stratified bootstrap of method ``a`` against baseline ``b``.

    The same resampled rows serve both; over seeds a row's score is its mean. Seed deviations
    stand apart and are no part of the interval.

    Args:
        a: runs (seeds) of the method: ``ids``, ``target`` and ``prediction`` each.
        b: runs of the baseline, on the same test rows.
        stats: statistics of the training data, for the groups.
        draws: resamples.
        level: coverage of the interval.
        seed: of the draws.

    Returns:
        Statistic -> :class:`Comparison`, or ``None`` for an empty group.

    Raises:
        DataError: other test rows or labels.
    """
    left, right = Scores.of(a), Scores.of(b)
    _same_rows(left.ids, left.target, right.ids, right.target)
    return paired(
        left.correct, right.correct, left.target, stats, draws=draws, level=level, seed=seed
    )


def paired(
    a: np.ndarray,
    b: np.ndarray,
    target: np.ndarray,
    stats: ClassStats,
    *,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Comparison | None]:
    """The same as :func:`compare` on aligned scores ``(S_a, N)`` and ``(S_b, N)``."""
    check_whole("draws", draws)
    check_whole("seed", seed, low=0)
    check_between("level", level, "0.95 is usual")
    if a.ndim != 2 or b.ndim != 2 or not (a.shape[1:] == b.shape[1:] == np.shape(target)):
        raise DataError(
            f"scores {a.shape} and {b.shape} do not fit {np.shape(target)} labels",
            "give (seeds, rows) of the same test rows twice",
        )
    difference = a.mean(0) - b.mean(0)
    values, table = score_table(difference, target, stats.num_classes)
    group = group_index(stats)
    drawn = resample(values, table, group, draws=draws, seed=seed)
    m = table.sum(1)
    weights = statistic_weights(m, group)
    over_seeds = [_class_means(x, target, m) for x in (a, b)]
    discordance = float((difference**2).mean())
    out: dict[str, Comparison | None] = dict.fromkeys(STATISTICS)
    for name, w in weights.items():
        per_seed = [means @ w for means in over_seeds]
        deviation = tuple(float(v.std(ddof=1)) if len(v) > 1 else None for v in per_seed)
        noise = sum(v.var(ddof=1) / len(v) for v in per_seed if len(v) > 1)
        used = w > 0
        sampling = (w[used] ** 2 / m[used]).sum()
        limit = mdd([1.0], discordance=discordance * sampling, seed_variance=float(noise))
        found = drawn.draws[name]
        delta = round(drawn.value[name] or 0.0, 12)
        p = _two_sided(found)
        tail = (1 - level) / 2
        low, high = np.quantile(found, [tail, 1 - tail])
        out[name] = Comparison(
            name, float(per_seed[0].mean()), float(per_seed[1].mean()), delta,
            (float(low), float(high)), float(np.sqrt(drawn.variance[name])), p, p, limit,
            (len(a), len(b)), deviation, verdict(delta, p, limit),  # type: ignore[arg-type]
            _notes(drawn.borrowed, len(a), len(b), limit),
        )  # fmt: skip
    return out


def _class_means(x: np.ndarray, target: np.ndarray, m: np.ndarray) -> np.ndarray:
    sums = np.stack([np.bincount(target, row, minlength=len(m)) for row in x])
    means: np.ndarray = sums / np.maximum(m, 1)
    return means


def _two_sided(draws: np.ndarray) -> float:
    low, high = int((draws <= 0).sum()), int((draws >= 0).sum())
    return min(1.0, 2 * (min(low, high) + 1) / (len(draws) + 1))


def _notes(borrowed: int, seeds_a: int, seeds_b: int, limit: float) -> tuple[str, ...]:
    out = []
    if min(seeds_a, seeds_b) == 1:
        out.append(ONE_SEED)
    if borrowed:
        out.append(f"variance of {borrowed} classes with one test row is borrowed from their group")
    if limit > 0.05:
        out.append(f"the test set can only show differences above {100 * limit:.1f} points")
    return tuple(out)


def compare_all(
    methods: Mapping[str, Sequence[Any] | Scores],
    stats: ClassStats,
    *,
    baseline: str = "ce",
    metric: str = "balanced_accuracy",
    draws: int | None = None,
    seed: int = 0,
) -> dict[str, Comparison | None]:
    """Every method against one baseline, Holm-adjusted over the methods.

    Args:
        methods: name -> its runs (seeds), the baseline among them.
        stats: statistics of the training data.
        baseline: name of the baseline.
        metric: one of accuracy, balanced_accuracy, many, medium, few.
        draws: resamples; absent, enough for so many methods.
        seed: of the draws, the same for every pair.

    Returns:
        Method (without the baseline) -> :class:`Comparison`; ``None`` where the group is empty.

    Raises:
        ConfigError: a baseline or metric that is not there.
    """
    if baseline not in methods:
        raise ConfigError(
            f"the baseline {baseline!r} is not among the methods", nearest(baseline, methods)
        )
    if metric not in STATISTICS:
        raise ConfigError(f"there is no paired metric {metric!r}", nearest(metric, STATISTICS))
    base = Scores.of(methods[baseline])
    draws = enough_draws(max(1, len(methods) - 1)) if draws is None else draws
    rows = {
        name: compare(runs, base, stats, draws=draws, seed=seed)[metric]
        for name, runs in methods.items()
        if name != baseline
    }
    shown = [row for row in rows.values() if row is not None]
    adjusted = iter(holm([row.p for row in shown]).tolist())
    out: dict[str, Comparison | None] = {}
    for name, row in rows.items():
        if row is None:
            out[name] = None
            continue
        p = next(adjusted)
        said = verdict(row.delta, p, row.mdd)
        out[name] = Comparison(**{**vars(row), "p_holm": p, "verdict": said})
    return out


def confused_pairs(
    target: np.ndarray,
    prediction: np.ndarray,
    top: int = 20,
    *,
    names: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """The most frequent mistakes, in ``O(N)`` memory.

    Args:
        target: ``(N,)`` labels.
        prediction: ``(N,)`` predicted classes.
        top: how many pairs.
        names: class names; absent: ids as text.

    Returns:
        ``target``, ``prediction``, ``count`` and ``share`` (of the rows of the true class), by
        descending count, ties by name.
    """
    y, hat = whole_numbers("labels", target), whole_numbers("predictions", prediction)
    if y.shape != hat.shape or (len(y) and min(y.min(), hat.min()) < 0):
        raise DataError(
            f"{len(hat)} predictions for {len(y)} labels, or ids under 0",
            "give one prediction for each label, and leave rows without a label out",
        )
    check_whole("top", top)
    if names and len(y) and len(names) <= max(y.max(), hat.max()):
        raise DataError(
            f"{len(names)} names for class ids up to {max(y.max(), hat.max())}",
            "give one name a class",
        )
    wrong = y != hat
    if not wrong.any():
        return []
    size = int(max(y.max(), hat.max())) + 1
    code, count = np.unique(y[wrong] * size + hat[wrong], return_counts=True)
    total = np.bincount(y)

    def name(c: int) -> str:
        return names[c] if names else str(c)

    floor = np.sort(count)[-min(top, len(count))]  # ties at the end are settled by name
    pairs = [
        (int(k), *divmod(int(c), size)) for k, c in zip(count, code, strict=True) if k >= floor
    ]
    pairs.sort(key=lambda pair: (-pair[0], name(pair[1]), name(pair[2])))
    return [
        {"target": name(t), "prediction": name(p), "count": k, "share": k / float(total[t])}
        for k, t, p in pairs[:top]
    ]
