"""Holm's correction, the smallest difference a test set can show, and the words of a verdict."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from longtail.checks import check_between, check_whole
from longtail.errors import ConfigError, DataError
from longtail.metrics.checks import numbers

__all__ = ["enough_draws", "holm", "mdd", "required_test_per_class", "seed_row_variance", "verdict"]

RELEVANT = 0.005  #: smaller differences are never called better or worse
BLUNT = 0.05  #: a test set that cannot show this much cannot tell


def enough_draws(methods: int) -> int:
    """Resamples after which ``methods`` p-values can each be told from 0.05 by Holm's correction.

    The smallest p-value of ``B`` resamples is ``2 / (B + 1)``, and the correction multiplies it by
    the number of methods: 2,000, or 100 for each method where that is more.
    """
    check_whole("methods", methods)
    return max(2000, 100 * methods)


def holm(p: ArrayLike) -> np.ndarray:
    """Holm-adjusted p-values ``(K,)``, in the order given.

    Reference: Holm, Scandinavian Journal of Statistics 1979.
    """
    values = numbers("p-values", p)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise DataError(f"p-values must be numbers in [0, 1], not {p!r}", "give a list of them")
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    out = np.empty_like(values)
    out[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return out


def mdd(
    test_counts: ArrayLike,
    *,
    discordance: float | ArrayLike = 0.2,
    seed_variance: float = 0.0,
    power: float = 0.8,
    level: float = 0.95,
) -> float:
    """Smallest difference of balanced accuracy that would be found with the given power.

    ``(z_{(1+level)/2} + z_power) sqrt(C^-2 sum_c psi_c / m_c + seed_variance)``

    Args:
        test_counts: ``(C,)`` test rows of the classes that are averaged; zeros are left out.
        discordance: ``psi``, share of rows on which the two methods differ (0.1 for close
            relatives), one number or one for each class.
        seed_variance: of the difference of the means over seeds (``2 s^2 / S``).
        power: chance to find a difference of that size.
        level: of the two-sided test.

    Returns:
        A fraction: 0.04 is four points.
    """
    check_between("power", power, "0.8 is usual")
    check_between("level", level, "0.95 is usual")
    if not 0 <= seed_variance < np.inf:
        raise ConfigError(
            f"the variance over seeds must not be negative, not {seed_variance}", "give 2 s^2 / S"
        )
    m, psi = numbers("test counts", test_counts), numbers("discordance", discordance)
    if psi.shape not in ((), m.shape) or not (psi >= 0).all():
        raise DataError(
            f"discordance {psi.shape} does not fit test counts {m.shape}",
            "give one share that is not negative, or one for each class",
        )
    psi, seen = np.broadcast_to(psi, m.shape), m > 0
    if m.ndim != 1 or not seen.any() or not (m >= 0).all():
        raise DataError(
            "the test counts must be a list with at least one class that has test rows",
            f"got {m.tolist() if m.ndim else float(m)!r}"[:200],
        )
    sampling = float((psi[seen] / m[seen]).sum()) / seen.sum() ** 2
    return float((ndtri((1 + level) / 2) + ndtri(power)) * np.sqrt(sampling + seed_variance))


def required_test_per_class(
    delta: float, num_classes: int, *, discordance: float = 0.2, power: float = 0.8
) -> int:
    """Test rows of each class that show a difference ``delta`` of balanced accuracy."""
    check_whole("num_classes", num_classes)
    check_between("power", power, "0.8 is usual")
    if not 0 < delta < np.inf:
        raise DataError(f"a difference of {delta} cannot be shown", "give delta > 0")
    if not 0 <= discordance < np.inf:
        raise DataError(f"discordance must be a share, not {discordance}", "0.2 is usual")
    z = float(ndtri(0.975) + ndtri(power))
    return ceil(z * z * discordance / (num_classes * delta * delta))


def verdict(delta: float, p: float, mdd: float | None = None) -> str:
    """``better``, ``worse``, ``within noise`` or ``cannot tell``.

    Args:
        delta: difference, method minus baseline, as a fraction.
        p: its p-value, Holm-adjusted where several are shown.
        mdd: smallest difference the test set can show; over 0.05 nothing can be told.
    """
    if p < 0.05 and abs(delta) > RELEVANT:
        return "better" if delta > 0 else "worse"
    return "cannot tell" if mdd is not None and mdd > BLUNT else "within noise"


def seed_row_variance(scores: ArrayLike) -> dict[str, float]:
    """Parts of the variance of scores over seeds and test rows (additive two-way layout).

    Args:
        scores: ``(S, N)`` one row a seed.

    Returns:
        ``ms_seed``, ``ms_row``, ``ms_err`` and the components ``seed`` (not under 0), ``row``,
        ``interaction``, and ``mean``: the variance of the overall mean
        ``row / N + seed / S + interaction / (S N)``.
    """
    x = numbers("scores", scores)
    if x.ndim != 2 or min(x.shape) < 2 or not np.isfinite(x).all():
        raise DataError(
            f"scores of shape {x.shape} have no two seeds and two rows, or are not finite",
            "give (seeds, rows) with at least two of each",
        )
    s, n = x.shape
    rows, seeds, grand = x.mean(0), x.mean(1), x.mean()
    ms_seed = n * ((seeds - grand) ** 2).sum() / (s - 1)
    ms_row = s * ((rows - grand) ** 2).sum() / (n - 1)
    left = x - rows[None] - seeds[:, None] + grand
    ms_err = (left**2).sum() / ((s - 1) * (n - 1))
    seed, row = max(0.0, (ms_seed - ms_err) / n), (ms_row - ms_err) / s
    mean = row / n + seed / s + ms_err / (s * n)
    return {
        "ms_seed": float(ms_seed), "ms_row": float(ms_row), "ms_err": float(ms_err),
        "seed": float(seed), "row": float(row), "interaction": float(ms_err), "mean": float(mean),
    }  # fmt: skip
