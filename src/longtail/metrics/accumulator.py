"""One pass over predictions: every metric from sums by class and confidence bin.

Memory is ``O(C * bins)``; an update is two ``index_add_`` and never waits for the device.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtail.checks import check_whole
from longtail.errors import ConfigError, DataError
from longtail.metrics.calibration import binned_error, noise_floor
from longtail.metrics.groups import GROUPS, group_index
from longtail.types import ClassStats

__all__ = ["IGNORED", "Accumulator"]

IGNORED = -100  #: target of a row that no metric counts
MIN_ROWS = 20  #: calibration of fewer rows is not reported
FLOORED = 0.01  #: a larger share of labels at the floor gives a warning
_FLOOR, _OFF = 1e-12, 1e-4
_COUNT, _CORRECT, _CONFIDENCE, _NLL, _BRIER = range(5)


class Accumulator:
    """Sums from which accuracy, balanced accuracy, groups, calibration and losses follow.

    Bins are of equal width and right-closed, ``(lo, hi]``. Rows are counted by true class and
    bin, and by predicted class and bin, so that calibration errors of groups need no ``C x C``.

    Args:
        num_classes: ``C``.
        bins: confidence bins of the calibration error.
        device: where the sums live; rows are moved there.
        input: ``logits``, or ``proba`` for rows that sum to one. A label's probability under
            1e-12 counts as 1e-12 in the log-likelihood; over 1 % of such rows give a warning.

    Example:
        >>> metrics = Accumulator(3)
        >>> metrics.update(torch.eye(3), torch.tensor([0, 1, 1]))
        >>> round(metrics.compute(ClassStats([9, 3, 1]))["balanced_accuracy"], 2)
        0.75
    """

    def __init__(
        self,
        num_classes: int,
        bins: int = 15,
        device: torch.device | str | None = None,
        *,
        input: str = "logits",
    ) -> None:
        check_whole("num_classes", num_classes, low=2)
        check_whole("bins", bins)
        if input not in ("logits", "proba"):
            raise ConfigError(f"there is no input {input!r}", "choose 'logits' or 'proba'")
        self.num_classes, self.bins, self.input = num_classes, bins, input
        self.device = torch.device(device or "cpu")
        wide = torch.float32 if self.device.type == "mps" else torch.float64

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=wide, device=self.device)

        self.by_truth = zeros(num_classes * bins, 5)
        self.by_prediction = zeros(num_classes * bins, 3)
        #: rows with a target outside [0, C), with scores that are not numbers, with probabilities
        #: that do not sum to one, and with a label whose probability is under the floor
        self.flags = zeros(4)
        self._edges = torch.linspace(0, 1, bins + 1, dtype=wide, device=self.device)[1:-1]

    @property
    def state(self) -> tuple[Tensor, ...]:
        """The sums themselves; adding them up over ranks in place merges the ranks."""
        return self.by_truth, self.by_prediction, self.flags

    def reset(self) -> None:
        """Forget all rows."""
        for sums in self.state:
            sums.zero_()

    def merge(self, other: Accumulator) -> Accumulator:
        """Add the rows of another accumulator of the same shape; returns ``self``."""
        if (self.num_classes, self.bins) != (other.num_classes, other.bins):
            raise ConfigError(
                f"cannot merge {other.num_classes} classes x {other.bins} bins "
                f"into {self.num_classes} x {self.bins}",
                "use the same num_classes and bins on every side",
            )
        for mine, theirs in zip(self.state, other.state, strict=True):
            mine += theirs.to(self.device)
        return self

    @torch.no_grad()
    def update(self, scores: Tensor, target: Tensor) -> None:
        """Count a batch.

        Args:
            scores: ``(B, C)`` logits, or probabilities with ``input="proba"``.
            target: ``(B,)`` labels; rows with ``-100`` are left out.

        Raises:
            DataError: a wrong shape or dtype. Labels outside ``[0, C)``, scores that are not
                numbers and probabilities that do not sum to one are reported by :meth:`compute`,
                so that an update never waits for the device.
        """
        if not isinstance(scores, Tensor) or not isinstance(target, Tensor):
            raise DataError(
                f"scores and target are {type(scores).__name__} and {type(target).__name__}",
                "give tensors: torch.as_tensor(values)",
            )
        fits = scores.ndim == 2 and scores.shape[1] == self.num_classes
        if not fits or target.shape != scores.shape[:1] or _no_ids(target):
            raise DataError(
                f"scores {tuple(scores.shape)} and a target of {target.dtype} "
                f"{tuple(target.shape)} do not fit {self.num_classes} classes",
                f"give scores (B, {self.num_classes}) and class ids (B,)",
            )
        z = scores.detach().to(self.device)
        z = z if z.dtype == torch.float64 else z.float()
        target = target.to(self.device)
        kept = (target >= 0) & (target < self.num_classes)
        label = torch.where(kept, target, 0).long()
        top, predicted = z.max(1)
        own = z.gather(1, label[:, None])[:, 0]
        wide = self.by_truth.dtype
        if self.input == "logits":
            p = z.softmax(1)
            confidence = p.gather(1, predicted[:, None])[:, 0].to(wide)
            nll = top.to(wide) - own.to(wide) - confidence.log()  # finite where p_y underflows
            at_label = (-nll).exp()
            told = []
        else:
            p, confidence, at_label = z, top.to(wide), own.to(wide)
            nll = -at_label.clamp_min(_FLOOR).log()
            off = ((p.sum(1) - 1).abs() > _OFF) | (p < 0).any(1)
            told = [(kept & off).sum(), (kept & (at_label < _FLOOR)).sum()]
        brier = torch.linalg.vecdot(p, p).to(wide) - 2 * at_label + 1
        ones = torch.ones_like(confidence)
        correct = (predicted == label).to(wide)
        rows = torch.stack([ones, correct, confidence, nll, brier], 1)
        rows = torch.where(kept[:, None], rows, torch.zeros((), dtype=wide, device=self.device))
        cell = torch.bucketize(confidence, self._edges)
        self.by_truth.index_add_(0, label * self.bins + cell, rows)
        self.by_prediction.index_add_(0, predicted * self.bins + cell, rows[:, :3])
        outside = (~kept & (target != IGNORED)).sum()
        flags = torch.stack([outside, (kept & confidence.isnan()).sum(), *told]).to(wide)
        self.flags[: len(flags)] += flags

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """``(C,)`` right and ``(C,)`` all test rows of each class, on the host."""
        sums = self._host()[0].sum(1)
        return sums[:, _CORRECT], sums[:, _COUNT]

    def _host(self) -> tuple[np.ndarray, np.ndarray]:
        outside, broken, off, floored = (int(v) for v in self.flags.tolist())
        if outside:
            raise DataError(
                f"{outside} rows have a label outside [0, {self.num_classes})",
                f"map labels to class ids; rows to leave out get {IGNORED}",
            )
        if broken:
            raise DataError(
                f"the scores of {broken} rows are not numbers",
                "look for a diverged model or a division by zero before the metrics",
            )
        if off:
            raise DataError(
                f"the probabilities of {off} rows are negative or do not sum to 1 within {_OFF}",
                "give logits, with input='logits', or the softmax of them in float32",
            )
        shape = (self.num_classes, self.bins, -1)
        truth, predicted = (s.cpu().numpy().astype(np.float64) for s in self.state[:2])
        rows = truth[:, _COUNT].sum()
        if floored > FLOORED * rows:
            warnings.warn(
                f"{floored} of {int(rows)} labels have a probability under {_FLOOR}, which counts "
                f"as {_FLOOR} in the log-likelihood: give logits",
                UserWarning,
                stacklevel=3,
            )
        return truth.reshape(shape), predicted.reshape(shape)

    def compute(self, stats: ClassStats, *, worst: int = 10, seed: int = 0) -> dict[str, Any]:
        """All metrics of the rows seen so far, as plain Python numbers.

        A class without test rows has recall ``None`` and enters no mean; a group without such
        classes is ``None``, never zero; calibration errors of fewer than 20 rows are ``None``.

        Args:
            stats: statistics of the training data: names, counts and shot groups.
            worst: how many of the classes with the lowest recall to list.
            seed: of the noise floor of the calibration error.

        Returns:
            ``n``, ``accuracy``, ``balanced_accuracy``, ``many``, ``medium``, ``few``,
            ``per_class``, ``test_counts``, ``worst`` (``class, recall, n_train, n_test``),
            ``never_predicted`` (classes with test rows), ``ece``, ``ece_signed``,
            ``ece_floor`` (mean and 95th percentile of a perfectly calibrated model),
            ``ece_groups`` (by true class), ``ece_groups_predicted``, ``nll``, ``brier`` (sum
            over classes), ``nll_balanced``, ``brier_balanced``.

        Raises:
            DataError: labels outside ``[0, C)``, scores that are not numbers, another ``C``.
        """
        if stats.num_classes != self.num_classes:
            raise DataError(
                f"the statistics have {stats.num_classes} classes, the metrics {self.num_classes}",
                "use the class counts of the model's training data",
            )
        check_whole("worst", worst, low=0)
        truth, predicted = self._host()
        group = group_index(stats)
        sums = truth.sum(1)
        total, seen = sums[:, _COUNT], sums[:, _COUNT] > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            recall = sums[:, _CORRECT] / total
            by_class = sums[:, [_NLL, _BRIER]] / total[:, None]
        n = total.sum()
        plain = sums.sum(0) / n if n else np.full(5, np.nan)
        shots = {k: _mean(recall[seen & (group == i)]) for i, k in enumerate(GROUPS)}
        return {
            "n": int(n),
            "accuracy": _number(plain[_CORRECT]),
            "balanced_accuracy": _mean(recall[seen]),
            **shots,
            "per_class": [_number(r) for r in recall],
            "test_counts": [int(t) for t in total],
            "worst": _worst(stats, recall, total, worst),
            "never_predicted": self._never(stats, predicted, seen),
            **self._calibration(truth, predicted, group, seed),
            "nll": _number(plain[_NLL]),
            "brier": _number(plain[_BRIER]),
            "nll_balanced": _mean(by_class[seen, 0]),
            "brier_balanced": _mean(by_class[seen, 1]),
        }

    @staticmethod
    def _never(stats: ClassStats, predicted: np.ndarray, seen: np.ndarray) -> list[str]:
        silent = seen & (predicted[..., _COUNT].sum(1) == 0)
        return [stats.names[c] for c in np.flatnonzero(silent)]

    @staticmethod
    def _calibration(
        truth: np.ndarray, predicted: np.ndarray, group: np.ndarray, seed: int
    ) -> dict[str, Any]:
        def error(cells: np.ndarray) -> float | None:
            sums = cells.sum(0)
            enough = sums[:, _COUNT].sum() >= MIN_ROWS
            return binned_error(*sums[:, :3].T) if enough else None

        overall = truth.sum(0)
        n = overall[:, _COUNT].sum()
        gap = (overall[:, _CONFIDENCE] - overall[:, _CORRECT]).sum()
        enough = n >= MIN_ROWS
        return {
            "ece": error(truth),
            "ece_signed": float(gap / n) if enough else None,
            "ece_floor": list(noise_floor(overall[:, _COUNT], overall[:, _CONFIDENCE], seed=seed))
            if enough
            else None,
            "ece_groups": {k: error(truth[group == i]) for i, k in enumerate(GROUPS)},
            "ece_groups_predicted": {k: error(predicted[group == i]) for i, k in enumerate(GROUPS)},
        }


def _no_ids(target: Tensor) -> bool:
    return target.is_floating_point() or target.is_complex()


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _mean(values: np.ndarray) -> float | None:
    return _number(values.mean()) if len(values) else None


def _worst(
    stats: ClassStats, recall: np.ndarray, total: np.ndarray, k: int
) -> list[dict[str, Any]]:
    train = stats.raw.tolist()
    seen = np.flatnonzero(total > 0).tolist()
    seen.sort(key=lambda c: (recall[c], train[c], stats.names[c]))
    return [
        {"class": stats.names[c], "recall": float(recall[c]), "n_train": int(train[c]),
         "n_test": int(total[c])}
        for c in seen[:k]
    ]  # fmt: skip
