"""Choosing one number on few validation rows: shrunk balanced accuracy, widest plateau."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from longtail.types import ClassStats

__all__ = [
    "best_on_plateau",
    "scores_over",
    "shrunk_balanced_accuracy",
    "tau_grid",
    "winning_power",
    "winning_range",
]

SHRINK = 5.0
_CHUNK = 1 << 18  # scores whose passes stay in a processor's caches


def tau_grid() -> Tensor:
    """``(21,)`` float64: 0, 0.1, ..., 2."""
    return torch.arange(21, dtype=torch.float64) / 10


def shrunk_balanced_accuracy(
    correct: Tensor, total: Tensor, stats: ClassStats, *, shrink: float = SHRINK
) -> Tensor:
    """Mean of recalls drawn towards the mean recall of their shot group.

    ``r_c = (k_c + a r_g) / (m_c + a)`` with ``r_g`` the mean of ``k / m`` over the classes of the
    group that have rows (of all classes where the group has none). A class without rows has the
    recall of its group.

    Args:
        correct: ``(C, T)`` right rows of each class under each of ``T`` candidates.
        total: ``(C,)`` rows of each class.
        stats: shot groups; masked classes are left out.
        shrink: ``a``, in rows.

    Returns:
        ``(T,)`` float64.
    """
    correct, total = correct.double(), total.double()
    seen = total > 0
    recall = correct / total.clamp_min(1)[:, None]
    target = torch.empty_like(recall)
    target[:] = recall[seen].mean(0)
    for ids in stats.groups()[0].values():
        own = ids[seen[ids]]
        if len(own):
            target[ids] = recall[own].mean(0)
    mixed = (correct + shrink * target) / (total + shrink)[:, None]
    return mixed[stats.present].mean(0)


def best_on_plateau(grid: Tensor, score: Tensor) -> float:
    """Centre of the widest run of best scores; of equally wide runs the one nearest to 1.

    Args:
        grid: ``(T,)`` ascending candidates.
        score: ``(T,)`` their scores.
    """
    best = (score >= score.max() - 1e-12).tolist()
    runs: list[tuple[int, int]] = []
    for i, good in enumerate(best):
        if good and i and best[i - 1]:
            runs[-1] = (runs[-1][0], i)
        elif good:
            runs.append((i, i))
    centres = [(b - a, (float(grid[a]) + float(grid[b])) / 2) for a, b in runs]
    return round(min(centres, key=lambda c: (-c[0], abs(c[1] - 1)))[1], 6)


def scores_over(
    grid: Tensor,
    ranges: Callable[[slice], tuple[Tensor, Tensor]],
    target: Tensor,
    stats: ClassStats,
) -> Tensor:
    """Shrunk balanced accuracy of every value of a grid, from the range in which each row is right.

    Args:
        grid: ``(T,)`` ascending candidates.
        ranges: rows -> the open interval ``(low, high)`` of values under which they are right.
        target: ``(M,)`` labels.
        stats: shot groups.

    Returns:
        ``(T,)`` float64.
    """
    c, t = stats.num_classes, len(grid)
    target = target.cpu()
    edges = torch.zeros(c * (t + 1), dtype=torch.float64)
    step = max(1, _CHUNK // c)
    for start in range(0, len(target), step):
        rows = slice(start, start + step)
        low, high = (v.double().cpu().contiguous() for v in ranges(rows))
        first = torch.searchsorted(grid, low, right=True)
        last = torch.maximum(torch.searchsorted(grid, high), first)
        one = torch.ones(len(first), dtype=torch.float64)
        edges.index_add_(0, target[rows] * (t + 1) + first, one)
        edges.index_add_(0, target[rows] * (t + 1) + last, -one)
    correct = edges.view(c, t + 1).cumsum(1)[:, :-1]
    return shrunk_balanced_accuracy(correct, torch.bincount(target, minlength=c), stats)


def winning_range(scores: Tensor, slope: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Open interval of ``tau`` in which ``scores_y - tau slope_y`` beats all other classes.

    Every other class bounds the interval on one side, so that one pass over ``(B, C)`` answers for
    all ``tau`` at once. A tie is no win.

    Args:
        scores: ``(B, C)``; ``-inf`` for a class that never wins.
        slope: ``(C,)`` finite.
        target: ``(B,)`` labels.

    Returns:
        ``low`` and ``high``, ``(B,)`` each; ``low >= high``: never.
    """
    label = target[:, None]
    rise = slope - slope[label]
    return _bounds(scores - scores.gather(1, label), rise, label)


def winning_power(scores: Tensor, log_norm: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Open interval of ``tau`` in which ``scores_y norm_y^-tau`` beats all other classes.

    As :func:`winning_range`, on the logarithms: among scores of one sign they are straight lines,
    and a positive score beats any that is not.

    Args:
        scores: ``(B, C)``; ``-inf`` for a class that never wins.
        log_norm: ``(C,)`` finite.
        target: ``(B,)`` labels.
    """
    label = target[:, None]
    own = scores.gather(1, label)
    low, high = torch.full_like(own[:, 0], torch.inf), torch.full_like(own[:, 0], -torch.inf)
    up = own[:, 0] > 0
    rows = torch.nonzero(up).flatten()
    if len(rows):  # what is not positive has no logarithm above -inf, and never wins
        height = scores[rows].clamp_min_(0).log_()
        bounds = winning_range(height, log_norm, target[rows])
        low[rows], high[rows] = bounds
    rows = torch.nonzero(~up).flatten()
    if len(rows):  # the least size wins, and any score that is not negative has won
        z = scores[rows]
        size = z.neg().log_()  # NaN where positive
        size = size.masked_fill_(z >= 0, -torch.inf)
        bounds = winning_range(-size, -log_norm, target[rows])
        low[rows], high[rows] = bounds
    return low, high


def _bounds(gap: Tensor, rise: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """``gap < tau rise`` for every other class."""
    bound = gap / rise
    low = bound.masked_fill(rise <= 0, -torch.inf).amax(1)
    high = bound.masked_fill(rise >= 0, torch.inf).amin(1)
    flat = (rise == 0) & ~(gap < 0)
    never = flat.scatter_(1, label, False).any(1)
    return torch.where(never, torch.inf, low), high
