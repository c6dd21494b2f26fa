"""Choosing one number on few validation rows: shrunk balanced accuracy, widest plateau."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from longtail.types import ClassStats

__all__ = ["best_on_plateau", "shrunk_balanced_accuracy", "tau_grid", "tau_scores"]

SHRINK = 5.0
_CHUNK = 1 << 24


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


def tau_scores(
    candidates: Callable[[slice], Tensor], target: Tensor, stats: ClassStats, taus: int
) -> Tensor:
    """Shrunk balanced accuracy of each candidate on labelled rows.

    Args:
        candidates: rows -> their logits under every candidate ``(T, rows, C)``.
        target: ``(M,)`` labels.
        stats: shot groups.
        taus: ``T``.

    Returns:
        ``(T,)`` float64.
    """
    c = stats.num_classes
    target = target.cpu()
    correct = torch.zeros(c, taus, dtype=torch.float64)
    step = max(1, _CHUNK // (taus * c))
    for start in range(0, len(target), step):
        rows = slice(start, start + step)
        hit = candidates(rows).argmax(-1).cpu() == target[rows]
        correct.index_add_(0, target[rows], hit.double().T.contiguous())
    return shrunk_balanced_accuracy(correct, torch.bincount(target, minlength=c), stats)
