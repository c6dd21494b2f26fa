"""Black-box shift estimation: the class mix from how a known confusion mixes predictions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from longtail.errors import DataError

__all__ = ["bbse", "bbse_error", "mean_by_class", "moments"]

_HEAVY = 1e4


def mean_by_class(p: Tensor, target: Tensor) -> Tensor:
    """``(C, C)`` whose column ``j`` is the mean of ``p`` over rows of label ``j``.

    A class without rows has the unit column: as if it were always recognised.

    Args:
        p: ``(M, C)`` probabilities, or one-hot predictions.
        target: ``(M,)`` labels.
    """
    c = p.shape[1]
    counts = torch.bincount(target, minlength=c)
    sums = torch.zeros(c, c, dtype=torch.float64).index_add_(0, target, p.double())
    means = sums / counts.clamp_min(1)[:, None]
    return torch.where(counts[:, None] > 0, means, torch.eye(c, dtype=torch.float64)).T


def bbse(confusion: Tensor, mean: Tensor, *, rows: int | None = None) -> Tensor:
    """The class mix ``q`` on the simplex with ``confusion q`` nearest to ``mean``.

    ``min_q || W^(1/2) (confusion q - mean) ||^2`` with ``W = 1 / max(mean, 1 / rows)``; where the
    solution of the linear system is a distribution, it is that.

    Args:
        confusion: ``(C, C)``, columns sum to one (:func:`mean_by_class`).
        mean: ``(C,)`` mean prediction over unlabelled rows.
        rows: their number; ``None``: all entries weigh the same.

    Returns:
        ``(C,)`` float64.

    Raises:
        DataError: shapes that do not fit, or entries that are no shares.

    Reference: Lipton, Wang and Smola, ICML 2018; the constraint is this library's.
    """
    from scipy.optimize import lsq_linear, nnls

    r, mu = (v.detach().cpu().double().numpy() for v in (confusion, mean))
    shares = all(np.isfinite(v).all() and (v >= 0).all() for v in (r, mu))
    if mu.ndim != 1 or r.shape != (len(mu), len(mu)) or not shares or not mu.sum() > 0:
        raise DataError(
            f"a confusion {r.shape} and a mean prediction {mu.shape} must be shares of C classes",
            "give (C, C) whose columns sum to one, and (C,)",
        )
    root = np.ones_like(mu) if rows is None else 1 / np.sqrt(np.maximum(mu, 1 / rows))
    heavy = _HEAVY * float(root.max())  # the row that makes the shares sum to one
    left = np.vstack([root[:, None] * r, np.full(len(mu), heavy)])
    right = np.append(root * mu, heavy)
    try:
        found, _ = nnls(left, right, maxiter=30 * len(mu) + 100)
    except RuntimeError:  # SciPy 1.13 may give up where later versions do not
        found = lsq_linear(left, right, bounds=(0, np.inf), method="bvls").x
    return torch.from_numpy(found / found.sum())


def moments(p: Tensor) -> Tensor:
    """``(C, C)`` covariance of the mean of the rows ``(U, C)``."""
    p = p.double()
    centred = p - p.mean(0)
    return centred.T @ centred / len(p) ** 2


def bbse_error(confusion: Tensor, q: Tensor, of_mean: Tensor, of_columns: Tensor) -> Tensor:
    """``(C,)`` standard errors of :func:`bbse` by the delta method.

    ``R^-1 (S_mu + sum_j q_j^2 S_j) R^-T``.

    Args:
        confusion: ``(C, C)`` ``R``.
        q: ``(C,)`` the estimate.
        of_mean: ``(C, C)`` covariance ``S_mu`` of the mean prediction.
        of_columns: ``(C, C, C)`` covariances ``S_j`` of the columns, one a class, or ``(C, C)``
            their sum weighted by ``q^2``.
    """
    inner = of_columns if of_columns.ndim == 2 else torch.einsum("j,jab->ab", q**2, of_columns)
    inverse = torch.linalg.pinv(confusion.double())
    error: Tensor = (inverse @ (of_mean + inner) @ inverse.T).diagonal()
    return error.clamp_min(0).sqrt()
