"""An estimated class mix, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from longtail.errors import DataError
from longtail.posthoc.residual import Residual

__all__ = ["PriorEstimate"]


@dataclass(frozen=True, eq=False)
class PriorEstimate:
    """An estimated class prior, and how far it is to be trusted.

    Attributes:
        prior: ``(C,)`` float64 shares.
        interval: ``(C, 2)`` float64, 95 %.
        method: ``em``, ``bbse`` or ``bbse_hard``.
        names: class names.
        n_unlabelled: rows it was estimated from.
        validation_counts: ``(C,)`` labelled rows of each class.
        temperature: that the scores were divided by.
        condition: of the confusion matrix; ``sigma_min`` its smallest singular value, and
            ``effective_rank`` the exponential of the entropy of all of them.
        converged: the iteration ended by itself.
        cross_check: ``(C,)`` estimate of another method; ``disagreement`` their total variation.
        tv_from_reference: total variation from the training prior, with its interval.
        changed: share of the unlabelled rows that are decided otherwise under it.
        gain: accuracy won by it on the labelled rows weighed to this mix, with its interval.
        residual: of :func:`residual_test`, whether the mix alone has changed; ``None``: not made.
        boundary: names of the classes whose share is under a tenth of a row.
        verdict: ``use``, ``use_with_care`` or ``refuse``.
        reasons: why, one sentence each.
        frame: the prior that scores were brought to first.
    """

    prior: Tensor
    interval: Tensor
    method: str
    names: tuple[str, ...]
    n_unlabelled: int
    validation_counts: Tensor
    temperature: float
    condition: float
    sigma_min: float
    effective_rank: float
    converged: bool
    cross_check: Tensor
    disagreement: float
    tv_from_reference: tuple[float, float, float]
    changed: float
    gain: tuple[float, float, float]
    residual: Residual | None
    boundary: tuple[str, ...]
    verdict: str
    reasons: tuple[str, ...]
    frame: str = "uniform"

    def usable(self, *, force: bool = False) -> Tensor:
        """The shares, unless the verdict is ``refuse``.

        Raises:
            DataError: it is, and ``force`` is not given.
        """
        if self.verdict == "refuse" and not force:
            raise DataError(
                f"prior estimate refused: {self.reasons[0]}",
                "give more unlabelled rows, or label more of rows like them; with force it is used "
                "all the same",
            )
        return self.prior

    def lines(self, most: int = 20) -> list[str]:
        """For the terminal: the shares that are largest or moved most, and the reasons."""
        order = self.prior.argsort(descending=True, stable=True)[:most].tolist()
        wide = max(len(self.names[c]) for c in order)
        other = "bbse" if self.method == "em" else "em"
        won, least, most_won = (100 * v for v in self.gain)
        out = [
            f"prior estimated by {self.method} from {self.n_unlabelled} rows: {self.verdict}; "
            f"{100 * self.changed:.1f} % of the decisions change",
            f"  accuracy {won:+.1f} points [{least:+.1f}, {most_won:+.1f}] on the labelled rows "
            "weighed to it",
        ]
        for c in order:
            low, high = (100 * self.interval[c]).tolist()
            share, check = 100 * float(self.prior[c]), 100 * float(self.cross_check[c])
            out.append(
                f"  {self.names[c]:{wide}s} {share:6.2f} %  [{low:.2f}, {high:.2f}]  "
                f"{other} {check:.2f} %"
            )
        if len(self.prior) > most:
            out.append(f"  and {len(self.prior) - most} classes of smaller share")
        return out + [f"  {reason}" for reason in self.reasons]

    def to_data(self) -> dict[str, Any]:
        """Plain values for JSON."""
        listed = {k: v.tolist() if isinstance(v, Tensor) else v for k, v in vars(self).items()}
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in listed.items()}
        return {**plain, "residual": self.residual and self.residual._asdict()}
