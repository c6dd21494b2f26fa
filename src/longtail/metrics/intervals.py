"""Confidence intervals of one model's metrics."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from longtail.checks import check_between, check_whole
from longtail.errors import DataError
from longtail.metrics.bootstrap import STATISTICS, resample, score_table
from longtail.metrics.checks import numbers, whole_numbers
from longtail.metrics.groups import group_index
from longtail.types import ClassStats

__all__ = ["intervals", "intervals_from_counts", "wilson"]


def intervals(
    target: ArrayLike,
    correct: ArrayLike,
    stats: ClassStats,
    *,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, list[float] | None]:
    """Percentile intervals of accuracy, balanced accuracy and the shot groups.

    Test rows are resampled with replacement within their class.

    Args:
        target: ``(N,)`` labels.
        correct: ``(N,)`` 0/1, or the share of seeds that had the row right.
        stats: statistics of the training data, for the groups.
        draws: resamples.
        level: coverage.
        seed: of the draws; the same seed gives the same interval, whatever the class order.

    Returns:
        Statistic -> ``[low, high]``, or ``None`` for an empty group (or without rows).

    Raises:
        ConfigError: no draws, or a level outside ``(0, 1)``.
        DataError: lists of different length, or labels outside ``[0, C)``.
    """
    _settings(draws, level, seed)
    y, ok = whole_numbers("labels", target), numbers("correct", correct)
    if y.shape != ok.shape or not ((ok >= 0) & (ok <= 1)).all():
        raise DataError(
            f"correct {ok.shape} must be one number in [0, 1] for each of {len(y)} labels",
            "give 1 for a right row, 0 for a wrong one, or the share of seeds",
        )
    if not len(y):
        return dict.fromkeys(STATISTICS)
    values, table = score_table(ok, y, stats.num_classes)
    return _percentiles(values, table, stats, draws, level, seed)


def intervals_from_counts(
    correct: ArrayLike,
    total: ArrayLike,
    stats: ClassStats,
    *,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, list[float] | None]:
    """The same as :func:`intervals` from ``Accumulator.counts()``.

    Args:
        correct: ``(C,)`` right test rows of each class.
        total: ``(C,)`` test rows of each class.
        stats: statistics of the training data, for the groups.
        draws: resamples.
        level: coverage.
        seed: of the draws.

    Raises:
        ConfigError: no draws, or a level outside ``(0, 1)``.
        DataError: more right rows than rows, or lists of another length than ``C``.
    """
    _settings(draws, level, seed)
    given = [numbers("counts", v) for v in (correct, total)]
    finite = all(np.isfinite(v).all() for v in given)
    k, m = (np.where(np.isfinite(v), v, 0).round().astype(np.int64) for v in given)
    if (
        not finite
        or k.shape != m.shape
        or k.shape != (stats.num_classes,)
        or (k > m).any()
        or (k < 0).any()
    ):
        raise DataError(
            f"right rows {k.shape} and test rows {m.shape} do not fit {stats.num_classes} classes",
            "give two lists of C counts with 0 <= correct <= total",
        )
    if not m.sum():
        return dict.fromkeys(STATISTICS)
    values, table = np.array([0.0, 1.0]), np.stack([m - k, k], 1)
    return _percentiles(values, table, stats, draws, level, seed)


def _settings(draws: int, level: float, seed: int) -> None:
    check_whole("draws", draws)
    check_whole("seed", seed, low=0)
    check_between("level", level, "0.95 is usual")


def _percentiles(
    values: np.ndarray, table: np.ndarray, stats: ClassStats, draws: int, level: float, seed: int
) -> dict[str, list[float] | None]:
    drawn = resample(values, table, group_index(stats), draws=draws, seed=seed)
    tail = (1 - level) / 2
    out: dict[str, list[float] | None] = dict.fromkeys(STATISTICS)
    for name, found in drawn.draws.items():
        low, high = np.clip(np.quantile(found, [tail, 1 - tail]), 0, 1)
        out[name] = [float(low), float(high)]
    return out


def wilson(correct: int, total: int, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson interval of a share: ``(p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)``.

    Args:
        correct: successes.
        total: trials; 0 gives ``(0, 1)``.
        level: coverage.

    Reference: Wilson, JASA 1927.
    """
    check_between("level", level, "0.95 is usual")
    if not 0 <= correct <= total:
        raise DataError(f"{correct} of {total} is no share", "give 0 <= correct <= total")
    if total == 0:
        return 0.0, 1.0
    z = float(ndtri((1 + level) / 2))
    p, n = correct / total, total
    centre = p + z * z / (2 * n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, float((centre - half) / scale)), min(1.0, float((centre + half) / scale))
