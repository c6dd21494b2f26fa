"""How long a tail is: measures of the shape of class counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from longtail.errors import DataError
from longtail.metrics.checks import numbers

__all__ = ["gini", "shape"]


def gini(counts: ArrayLike) -> float:
    """``2 sum_i i n_(i) / (C N) - (C + 1) / C`` with counts ascending: 0 when all are equal."""
    n = np.sort(_counts(counts))
    c = len(n)
    return float(2 * (np.arange(1, c + 1) @ n) / (c * n.sum()) - (c + 1) / c)


def shape(counts: ArrayLike) -> dict[str, Any]:
    """All measures of one set of class counts.

    Shares and indices are of the counts in descending order. Classes without samples enter
    ``gini`` and ``classes``, and are left out of logarithms.

    Args:
        counts: ``(C,)`` samples of each class, ``C >= 2``.

    Returns:
        ``classes``, ``samples``, ``empty``, ``imbalance_factor`` (``inf`` with empty classes),
        ``gini``, ``entropy`` (divided by ``log C``), ``effective_classes`` (``exp H``),
        ``simpson_classes`` (``1 / sum p^2``), ``top_20_share``, ``bottom_half_share``,
        ``half_in`` (classes that hold half of the samples), ``under_20``, ``under_5``,
        ``under_2``, ``zipf_slope`` and ``zipf_r2`` (``log n`` on ``log rank``),
        ``exponential_factor`` and ``exponential_r2`` (``log n`` on rank), ``better_fit``,
        ``hill`` (tail index of the largest ``max(5, C / 5)`` counts, ``None`` where it is
        infinite).

    Raises:
        DataError: fewer than two classes, or counts that are not counts.
    """
    n = -np.sort(-_counts(counts))
    c, total = len(n), n.sum()
    p = n[n > 0] / total
    entropy = float(-(p * np.log(p)).sum())
    cumulated = np.cumsum(n)
    half = int(np.searchsorted(cumulated, total / 2)) + 1
    return {
        "classes": c,
        "samples": float(total),
        "empty": int((n == 0).sum()),
        "imbalance_factor": float(n[0] / n[-1]) if n[-1] else float("inf"),
        "gini": gini(n),
        "entropy": entropy / float(np.log(c)),
        "effective_classes": float(np.exp(entropy)),
        "simpson_classes": float(1 / (p**2).sum()),
        "top_20_share": float(n[: max(1, round(c / 5))].sum() / total),
        "bottom_half_share": float(n[c - c // 2 :].sum() / total),
        "half_in": half,
        **{f"under_{k}": int((n < k).sum()) for k in (20, 5, 2)},
        **_fits(n[n > 0]),
        "hill": _hill(n[n > 0], c),
    }


def _counts(counts: ArrayLike) -> np.ndarray:
    n = numbers("class counts", counts)
    if n.ndim != 1 or len(n) < 2 or not np.isfinite(n).all() or (n < 0).any() or not n.sum():
        raise DataError(
            f"class counts must be at least two numbers, not negative and not all zero; got "
            f"{n.flatten()[:8].tolist()}",
            "give one count for each class",
        )
    return n


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and R² of a least-squares line; R² of constant values is 1."""
    dx, dy = x - x.mean(), y - y.mean()
    if not dx @ dx:
        return 0.0, 1.0
    slope = float(dx @ dy / (dx @ dx))
    spread = float(dy @ dy)
    return slope, 1 - float(((dy - slope * dx) ** 2).sum()) / spread if spread > 1e-18 else 1.0


def _fits(n: np.ndarray) -> dict[str, Any]:
    rank, log_n = np.arange(1, len(n) + 1), np.log(n)
    zipf, zipf_r2 = _line(np.log(rank), log_n)
    decay, decay_r2 = _line(rank.astype(np.float64), log_n)
    return {
        "zipf_slope": -zipf,
        "zipf_r2": zipf_r2,
        "exponential_factor": float(np.exp(-decay * (len(n) - 1))),
        "exponential_r2": decay_r2,
        "better_fit": "zipf" if zipf_r2 > decay_r2 else "exponential",
    }


def _hill(n: np.ndarray, classes: int) -> float | None:
    """``1 / mean(log n_i - log n_{k+1})`` over the ``k`` largest counts."""
    k = min(max(5, classes // 5), len(n) - 1)
    if k < 1:
        return None
    mean = float((np.log(n[:k]) - np.log(n[k])).mean())
    return 1 / mean if mean > 0 else None
