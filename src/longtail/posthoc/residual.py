"""Whether a change of class mix alone explains how unlabelled rows are predicted."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Residual", "mix_residual", "residual_cells", "residual_test"]

#: rows of either kind that a cell must be expected to hold
LEAST = 5.0
#: classes up to which the test is made
MOST_CLASSES = 500
_PARTS = 3
_STEPS = 500

Numbers = NDArray[np.float64]


class Residual(NamedTuple):
    """What no class mix explains.

    Attributes:
        statistic: weighted squared residual of the best mix.
        freedom: its degrees of freedom.
        p: chance of a residual as large where only the mix has changed.
    """

    statistic: float
    freedom: int
    p: float


def residual_test(p: Tensor, known: Tensor, target: Tensor) -> Residual | None:
    """Test that unlabelled rows differ from labelled ones in their class mix alone.

    Decisions by themselves can be explained by some mix always: ``C`` shares for ``C`` classes.
    Rows are therefore counted in ``3 C`` cells, decision by thirds of its confidence, and cells
    that would hold fewer than 5 rows are joined, with their neighbours of the same decision first.
    Then :func:`mix_residual`.

    Args:
        p: ``(U, C)`` probabilities of unlabelled rows.
        known: ``(M, C)`` of labelled rows, ``target`` their labels.

    Returns:
        ``None`` where it cannot be made: a class without labelled rows, more than 500 classes, or
        no more cells than shares.
    """
    c = p.shape[1]
    counts = torch.bincount(target, minlength=c)
    if c > MOST_CLASSES or not bool((counts > 0).all()):
        return None
    new, old = residual_cells(p, known)
    labelled = np.zeros((_PARTS * c, c))
    np.add.at(labelled, (old.numpy(), target.numpy()), 1.0)
    seen = np.bincount(new.numpy(), minlength=_PARTS * c).astype(float)
    shares, mix = _explained(labelled, seen)
    expected = np.stack([seen.sum() * (shares @ mix), shares @ labelled.sum(0)])
    groups = _joined(expected, c)
    return mix_residual(
        np.stack([labelled[g].sum(0) for g in groups]), np.array([seen[g].sum() for g in groups])
    )


def residual_cells(p: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """``(U,)`` and ``(M,)`` cells: three for each decision, by the thirds of all its confidences."""
    confidence, decision = torch.cat([p, known]).double().max(1)
    cell = _PARTS * decision
    ends = torch.arange(1, _PARTS, dtype=torch.float64) / _PARTS
    for label in decision.unique().tolist():
        rows = decision == label
        cell[rows] += torch.searchsorted(torch.quantile(confidence[rows], ends), confidence[rows])
    return cell[: len(p)], cell[len(p) :]


def mix_residual(labelled: Any, seen: Any) -> Residual | None:
    """Fit a class mix to the cells of unlabelled rows, and test what it leaves over.

    ``min_q (m - R q)' V^-1 (m - R q)`` over ``sum q = 1``, with ``m`` the shares of the cells among
    unlabelled rows, ``R`` those among labelled rows by class, and ``V`` the variance of the
    difference, ``(diag s - s s') / U + sum_j w_j^2 (diag S_j - S_j S_j') / M_j`` with ``s = S w``,
    at the shares ``S`` and mix ``w`` that are most likely if the mix alone has changed. Then the
    minimum follows a chi-squared law.

    Args:
        labelled: ``(K, C)`` labelled rows in each cell by class, one or more a class.
        seen: ``(K,)`` unlabelled rows in each cell.

    Returns:
        ``None`` where the cells are no more than what a mix can fit exactly.
    """
    from scipy.stats import chi2

    table, rows = np.asarray(labelled, dtype=float), np.asarray(seen, dtype=float)
    filled = table.sum(1) + rows > 0
    table, rows = table[filled], rows[filled]
    k, c = table.shape
    found, mean = table / table.sum(0), rows / rows.sum()
    moves = np.vstack([np.eye(c - 1), -np.ones(c - 1)])  # of a mix: they keep its sum
    freedom = k - 1 - (int(np.linalg.matrix_rank(found @ moves, tol=1e-9)) if c > 1 else 0)
    if freedom < 1:
        return None
    shares, mix = _explained(table, rows)
    said, weight = shares @ mix, mix**2 / table.sum(0)
    spread = np.diag(said / rows.sum() + shares @ weight)
    spread -= np.outer(said, said) / rows.sum() + (shares * weight) @ shares.T
    root = np.linalg.cholesky(spread[:-1, :-1])  # the last cell is what the others leave
    left = np.linalg.solve(root, (found @ moves)[:-1])
    over = np.linalg.solve(root, (mean - found.mean(1))[:-1])
    over = over - left @ np.linalg.lstsq(left, over, rcond=None)[0]
    statistic = float(over @ over)
    return Residual(statistic, freedom, float(chi2.sf(statistic, freedom)))


def _explained(labelled: Numbers, seen: Numbers) -> tuple[Numbers, Numbers]:
    """Most likely shares ``(K, C)`` of the cells by class, and mix ``(C,)``, of both counts."""
    k, c = labelled.shape
    total, rows = labelled.sum(0), seen.sum()
    shares = (labelled + 0.5 / k) / (total + 0.5)
    mix = np.full(c, 1 / c)
    for _ in range(_STEPS):
        joint = shares * mix
        joint *= (seen / np.maximum(joint.sum(1), 1e-300))[:, None]
        new = joint.sum(0) / rows
        moved = float(np.abs(new - mix).max())
        shares, mix = (labelled + joint) / (total + joint.sum(0)), new
        if moved < 1e-6:
            break
    return shares, mix


def _joined(expected: Numbers, classes: int) -> list[list[int]]:
    """Cells joined until each is expected to hold enough rows of either kind ``(2, K)``."""

    def size(cells: list[int]) -> float:
        return float(expected[:, cells].sum(1).min())

    out: list[list[int]] = []
    rest: list[int] = []
    for label in range(classes):
        parts = [[_PARTS * label + i] for i in range(_PARTS)]
        while len(parts) > 1 and min(sizes := [size(g) for g in parts]) < LEAST:
            at = int(np.argmin(sizes))
            beside = [i for i in (at - 1, at + 1) if 0 <= i < len(parts)]
            first = min(at, min(beside, key=sizes.__getitem__))
            parts[first : first + 2] = [parts[first] + parts[first + 1]]
        if size(parts[0]) < LEAST:
            rest += parts[0]
        else:
            out += parts
    if rest and out and size(rest) < LEAST:
        smallest = min(range(len(out)), key=lambda i: size(out[i]))
        out[smallest] = out[smallest] + rest
        rest = []
    return [*out, rest] if rest else out
