"""Calibration errors of the top label, and what a perfectly calibrated model would show."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from longtail.checks import check_whole
from longtail.errors import ConfigError, DataError
from longtail.metrics.checks import numbers

__all__ = [
    "binned_error",
    "ece",
    "ece_debiased",
    "ece_mass",
    "noise_floor",
    "reliability",
]


def binned_error(count: np.ndarray, correct: np.ndarray, confidence: np.ndarray) -> float:
    """``sum_b |correct_b - confidence_b| / sum_b count_b`` from sums per bin, each ``(bins,)``."""
    n = count.sum()
    return float(np.abs(correct - confidence).sum() / n) if n else float("nan")


def noise_floor(
    count: np.ndarray, confidence: np.ndarray, *, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Calibration error that a perfectly calibrated model shows by chance.

    In each bin the number of right rows is drawn from ``Binomial(count_b, mean confidence_b)``.

    Args:
        count: ``(bins,)`` rows per bin.
        confidence: ``(bins,)`` summed confidence per bin.
        draws: number of draws.
        seed: of the draws.

    Returns:
        Mean and 95th percentile of the error.

    Raises:
        ConfigError: no draws.
        DataError: no rows, or confidence outside ``[0, count]``.
    """
    check_whole("draws", draws)
    check_whole("seed", seed, low=0)
    count, confidence = numbers("counts", count), numbers("confidences", confidence)
    fits = count.ndim == 1 and count.shape == confidence.shape
    if not fits or not count.sum() > 0 or not (_within(confidence, count) & (count >= 0)).all():
        raise DataError(
            f"counts {count.shape} and summed confidences {confidence.shape} are no bins of rows",
            "give rows and summed confidence per bin, as reliability() does",
        )
    used = count > 0
    n, total = count[used].astype(np.int64), confidence[used]
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0xECE])))
    correct = rng.binomial(n, np.clip(total / n, 0, 1), size=(draws, len(n)))
    error = np.abs(correct - total).sum(1) / n.sum()
    return float(error.mean()), float(np.quantile(error, 0.95))


def _within(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Sums of numbers in [0, 1], up to rounding."""
    inside: np.ndarray = (total >= 0) & (total <= count * 1.001)
    return inside


def _pairs(confidence: ArrayLike, correct: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    conf, ok = numbers("confidences", confidence), numbers("correct", correct)
    if conf.ndim != 1 or conf.shape != ok.shape or not len(conf):
        raise DataError(
            f"confidence {conf.shape} and correct {ok.shape} must be two lists of one length",
            "give one confidence and one 0/1 for each row",
        )
    if not ((conf >= 0) & (conf <= 1)).all():
        raise DataError("confidences must lie in [0, 1]", "give the probability of the top label")
    if not ((ok >= 0) & (ok <= 1)).all():
        raise DataError("correct must lie in [0, 1]", "give 1 for a right row, 0 for a wrong one")
    return conf, ok


def reliability(confidence: ArrayLike, correct: ArrayLike, *, bins: int = 15) -> dict[str, Any]:
    """Sums per equal-width, right-closed bin: ``edges``, ``count``, ``correct``, ``confidence``."""
    check_whole("bins", bins)
    conf, ok = _pairs(confidence, correct)
    edges = np.linspace(0, 1, bins + 1)
    cell = np.clip(np.digitize(conf, edges, right=True) - 1, 0, bins - 1)
    sums = {
        "count": np.bincount(cell, minlength=bins),
        "correct": np.bincount(cell, ok, minlength=bins),
        "confidence": np.bincount(cell, conf, minlength=bins),
    }
    return {"edges": edges, **sums}


def ece(confidence: ArrayLike, correct: ArrayLike, *, bins: int = 15) -> float:
    """Expected calibration error ``sum_b (n_b / N) |acc_b - conf_b|``, equal-width bins.

    Args:
        confidence: ``(N,)`` probability of the predicted class.
        correct: ``(N,)`` 0/1.
        bins: right-closed bins ``(lo, hi]``.

    Reference: Guo et al., ICML 2017.
    """
    r = reliability(confidence, correct, bins=bins)
    return binned_error(r["count"], r["correct"], r["confidence"])


def _mass_bins(conf: np.ndarray, bins: int) -> list[np.ndarray]:
    check_whole("bins", bins)
    order = np.argsort(conf, kind="stable")
    return [part for part in np.array_split(order, bins) if len(part)]


def ece_mass(confidence: ArrayLike, correct: ArrayLike, *, bins: int = 15, power: int = 1) -> float:
    """The same over bins of equal mass (stable rank; ties split by order).

    ``power=2`` gives the root mean square form ``sqrt(sum_b (n_b / N) (acc_b - conf_b)^2)``.
    """
    if not isinstance(power, Real) or not 0 < float(power) < np.inf:
        raise ConfigError(f"power must be a positive number, not {power!r}", "1 is usual")
    conf, ok = _pairs(confidence, correct)
    parts = _mass_bins(conf, bins)
    terms = [len(p) * abs(ok[p].mean() - conf[p].mean()) ** power for p in parts]
    return float((sum(terms) / len(conf)) ** (1 / power))


def ece_debiased(confidence: ArrayLike, correct: ArrayLike, *, bins: int = 15) -> float:
    """Squared error over equal-mass bins without its sampling bias; may be negative.

    ``sum_b (n_b / N) [(acc - conf)^2 - acc (1 - acc) / (n_b - 1)]``; bins of one row are left
    out.
    """
    conf, ok = _pairs(confidence, correct)
    total = 0.0
    for part in _mass_bins(conf, bins):
        if len(part) > 1:
            acc = ok[part].mean()
            gap = (acc - conf[part].mean()) ** 2
            total += len(part) * (gap - acc * (1 - acc) / (len(part) - 1))
    return float(total / len(conf))
