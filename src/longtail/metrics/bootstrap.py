"""Bootstrap of class means: test rows resampled with replacement within their class.

A class enters only through how often each score occurs in it, so a resample is one multinomial
draw; classes of one group with the same table are drawn together (a sum of ``g`` multinomials of
``m`` rows is one of ``g m`` rows). The cost does not depend on the number of rows, and names and
order of the classes change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from longtail.errors import DataError
from longtail.metrics.groups import GROUPS

__all__ = ["STATISTICS", "Resampled", "resample", "score_table", "statistic_weights"]

STATISTICS = ("accuracy", "balanced_accuracy", *GROUPS)
TINY = 10  #: classes with fewer rows have their bootstrap variance corrected


@dataclass(frozen=True, eq=False)
class Resampled:
    """Point values and draws of the :data:`STATISTICS` of one score.

    Attributes:
        value: statistic -> point value, ``None`` for an empty group.
        draws: statistic -> ``(B,)`` resampled values.
        variance: statistic -> closed form ``sum_c w_c^2 s_c^2 / m_c`` with unbiased ``s_c^2``.
        borrowed: classes with one row, whose variance is that of their group.
    """

    value: dict[str, float | None]
    draws: dict[str, np.ndarray]
    variance: dict[str, float]
    borrowed: int


def score_table(
    score: np.ndarray, target: np.ndarray, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Distinct scores ``(V,)`` and how often each occurs in each class ``(C, V)``.

    Args:
        score: ``(N,)`` score of each row, such as 0/1, or its mean over seeds.
        target: ``(N,)`` labels.
        num_classes: ``C``.
    """
    if len(score) == 0 or score.shape != target.shape or score.ndim != 1:
        raise DataError(
            f"{len(score)} scores for {len(target)} labels", "give one score for each test row"
        )
    if not np.issubdtype(target.dtype, np.integer) or not np.isfinite(score).all():
        raise DataError(
            f"labels of {target.dtype}, or scores that are not finite",
            "give whole class ids, and one finite score for each test row",
        )
    if target.min() < 0 or target.max() >= num_classes:
        raise DataError(
            f"labels lie in [{target.min()}, {target.max()}], outside [0, {num_classes})",
            "leave rows without a label of the training classes out",
        )
    values, code = np.unique(np.round(score, 12), return_inverse=True)
    if len(values) * num_classes > 50_000_000:
        raise DataError(
            f"{len(values)} distinct scores in {num_classes} classes are too many to resample",
            "round the scores, for instance to three decimals",
        )
    flat = np.bincount(target * len(values) + code.reshape(-1), minlength=num_classes * len(values))
    return values, flat.reshape(num_classes, len(values))


def resample(
    values: np.ndarray, table: np.ndarray, group: np.ndarray, *, draws: int = 2000, seed: int = 0
) -> Resampled:
    """Stratified bootstrap of accuracy, balanced accuracy and group means.

    Classes under ten rows: the centred resampled mean is stretched by ``sqrt(m / (m - 1))``;
    a class with one row has no spread of its own and borrows the pooled variance of its group.

    Args:
        values: ``(V,)`` distinct scores.
        table: ``(C, V)`` occurrences; a row of zeros is a class without test rows.
        group: ``(C,)`` group of each class.
        draws: ``B``.
        seed: of the draws.
    """
    kept = table.sum(1) > 0
    table, group = table[kept], group[kept]
    m = table.sum(1)
    weight = statistic_weights(m, group)
    mean = table @ values / m
    square = table @ values**2
    spread = np.maximum(square - m * mean**2, 0)  # sum of squares around the class mean
    single = _borrowed(m, group, spread, mean)
    unbiased = np.where(m > 1, spread / np.maximum(m - 1, 1), single[group])
    keyed = np.concatenate([group[:, None], table], 1)
    _, first, times = np.unique(keyed, axis=0, return_index=True, return_counts=True)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0xB007])))
    moved = {k: np.zeros(draws) for k in weight}
    for c, g in zip(first, times, strict=True):
        shift = _shift(rng, values, table[c], int(g), float(single[group[c]]), draws)
        if shift is not None:
            for name, w in weight.items():
                if w[c]:
                    moved[name] += w[c] * shift
    point = {k: float(w @ mean) for k, w in weight.items()}
    out = {k: np.round(point[k] + v, 12) for k, v in moved.items()}
    value = {k: point.get(k) for k in STATISTICS}
    variance = {k: float((w**2 * unbiased / m).sum()) for k, w in weight.items()}
    return Resampled(value, out, variance, int((m == 1).sum()))


def statistic_weights(m: np.ndarray, group: np.ndarray) -> dict[str, np.ndarray]:
    """Each statistic as weights ``(C,)`` of the class means; empty groups are left out.

    Args:
        m: ``(C,)`` test rows; a class without rows has weight 0.
        group: ``(C,)`` group of each class.
    """
    seen = m > 0
    out = {"accuracy": m / m.sum(), "balanced_accuracy": seen / seen.sum()}
    for i, name in enumerate(GROUPS):
        member = seen & (group == i)
        if member.any():
            out[name] = member / member.sum()
    return out


def _borrowed(m: np.ndarray, group: np.ndarray, spread: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """``(3,)`` variance of one row in each group, for classes that have but one."""
    out = np.zeros(len(GROUPS))
    for i in range(len(GROUPS)):
        for rows in ((group == i) & (m > 1), m > 1):
            if rows.any():
                out[i] = spread[rows].sum() / (m[rows] - 1).sum()
                break
        else:
            own = mean[group == i] if (group == i).sum() > 1 else mean
            out[i] = own.var(ddof=1) if len(own) > 1 else 0.0
    return out


def _shift(
    rng: np.random.Generator,
    values: np.ndarray,
    counts: np.ndarray,
    times: int,
    single: float,
    draws: int,
) -> np.ndarray | None:
    """``(B,)`` summed deviation of the resampled means of ``times`` equal classes."""
    m = int(counts.sum())
    if m == 1:
        return rng.normal(0.0, np.sqrt(times * single), draws) if single else None
    used = counts > 0
    if used.sum() == 1:
        return None
    shares, own = counts[used] / m, values[used]
    drawn = rng.multinomial(times * m, shares, size=draws) @ own / m
    stretch = np.sqrt(m / (m - 1)) if m < TINY else 1.0
    return (drawn - times * (shares @ own)) * stretch  # type: ignore[no-any-return]
