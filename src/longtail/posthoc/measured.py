"""The prior that a model answers to, measured on labelled rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from longtail.errors import DataError
from longtail.posthoc.bbse import mean_by_class

__all__ = ["MeasuredPrior", "audit_prior", "measured_prior", "stationary"]

#: labelled rows that every class needs
LEAST = 5
#: total variation that is no warning however sure it is
TOLERATED = 0.1
_SURE = 0.99


@dataclass(frozen=True, eq=False)
class MeasuredPrior:
    """A measured prior beside the declared one.

    Attributes:
        prior: ``(C,)`` float64, measured.
        rows: labelled rows that it was measured on.
        tv: total variation from the declared prior, or ``None`` where none is declared.
        error: standard error of ``tv``, or ``None``.
    """

    prior: Tensor
    rows: int
    tv: float | None
    error: float | None

    @property
    def differs(self) -> bool:
        """Over 0.1 from the declared prior, and over three standard errors."""
        return (
            self.tv is not None
            and self.error is not None
            and self.tv > max(TOLERATED, 3 * self.error)
        )

    def to_data(self) -> dict[str, Any]:
        """Plain values for JSON."""
        about = {"rows": self.rows, "tv": self.tv, "error": self.error, "differs": self.differs}
        return {"prior": self.prior.tolist(), **about}


def measured_prior(scores: Tensor, target: Tensor, *, names: Sequence[str] = ()) -> Tensor:
    """The prior that a model's probabilities answer to, from labelled rows of any class mix.

    If the probabilities are the posterior under a prior, then that prior is the stationary
    distribution of ``A_cj = mean of p_j over rows of class c``: ``prior A = prior``.

    Args:
        scores: ``(M, C)`` probabilities or logits, of rows that were not trained on.
        target: ``(M,)`` labels.
        names: ``C`` class names for the message.

    Returns:
        ``(C,)`` float64.

    Raises:
        DataError: a class with fewer than 5 rows, or probabilities so sure that every prior fits.
    """
    p, y = _probabilities(scores, target)
    return stationary(_means(p, y, names))


def audit_prior(
    scores: Tensor, target: Tensor, declared: Tensor | None, *, names: Sequence[str] = ()
) -> MeasuredPrior:
    """Measure the prior and compare it with the declared one.

    The standard error of their total variation is that of the first order: a row of class ``c``
    moves the measured prior by ``prior_c / m_c (p - A_c) (I - A + 1 prior')^-1``.

    Args:
        scores: ``(M, C)`` probabilities or logits, of rows that were not trained on.
        target: ``(M,)`` labels.
        declared: ``(C,)`` prior from sampler, weights and loss, or ``None``.
        names: ``C`` class names for the message.

    Raises:
        DataError: as :func:`measured_prior`.
    """
    p, y = _probabilities(scores, target)
    means = _means(p, y, names)
    prior = stationary(means)
    if declared is None:
        return MeasuredPrior(prior, len(y), None, None)
    apart = prior - declared.detach().cpu().double()
    c = len(prior)
    inverse_of = torch.eye(c, dtype=torch.float64) - means + prior.expand(c, c)
    counts = torch.bincount(y, minlength=c)
    moved = (p - means[y]) @ torch.linalg.solve(inverse_of, 0.5 * apart.sign())
    error = float(((prior / counts)[y] * moved).square().sum().sqrt())
    return MeasuredPrior(prior, len(y), 0.5 * float(apart.abs().sum()), error)


def stationary(matrix: Tensor, *, tolerance: float = 1e-12, max_steps: int = 10_000) -> Tensor:
    """``v`` with ``v A = v`` and ``sum v = 1``, by repeated multiplication from equal shares.

    Args:
        matrix: ``(C, C)`` ``A``, rows sum to one.
        tolerance: sum of absolute changes at which to stop.
        max_steps: at most so many steps.

    Raises:
        DataError: it has not come to rest: classes are hardly ever taken for each other.
    """
    a = matrix.double()
    v = torch.full((len(a),), 1 / len(a), dtype=torch.float64)
    for _ in range(max_steps):
        new = v @ a
        new = new / new.sum()
        if float((new - v).abs().sum()) < tolerance:
            return new
        v = new
    raise DataError(
        "some classes are so rarely taken for others that no prior can be measured",
        "use more held-out rows, or rows that are harder",
    )


def _probabilities(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    p, y = scores.detach().cpu().double(), target.detach().cpu().long()
    if p.ndim != 2 or y.shape != p.shape[:1] or not torch.isfinite(p).all():
        raise DataError(
            f"scores {tuple(p.shape)} and labels {tuple(y.shape)} cannot be used",
            "give finite scores (M, C) and labels (M,)",
        )
    ready = bool((p >= 0).all()) and bool(((p.sum(1) - 1).abs() < 1e-4).all())
    return p if ready else p.softmax(1), y


def _means(p: Tensor, y: Tensor, names: Sequence[str]) -> Tensor:
    """``(C, C)`` mean probabilities, one row a true class."""
    c = p.shape[1]
    counts = torch.bincount(y, minlength=c)
    few = torch.nonzero(counts < LEAST).flatten().tolist()
    if few:
        said = ", ".join(str(names[i]) if len(names) else str(i) for i in few[:8])
        raise DataError(
            f"{len(few)} of {c} classes have fewer than {LEAST} labelled rows: {said}",
            "hold more rows back for validation",
        )
    means = mean_by_class(p, y).T
    if float(means.diagonal().min()) > _SURE:
        raise DataError("the model is too sure here: every prior fits", "use held-out data")
    return means
