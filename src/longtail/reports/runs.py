"""Reading a run folder: the only input of every report.

Shape legend: ``C`` classes, ``N`` test rows. A file that is missing is said to be missing by the
report; only ``metrics.json`` is required.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtail.errors import DataError

__all__ = ["GROUPS", "Predictions", "RunFiles", "read_run"]

GROUPS = ("many", "medium", "few")
PREDICTION_FIELDS = ("ids", "target", "prediction")


@dataclass(frozen=True, eq=False)
class Predictions:
    """Test predictions of one run, one entry a row.

    Attributes:
        ids: ``(N,)`` str, the sample ids.
        target: ``(N,)`` int64 true classes.
        prediction: ``(N,)`` int64 predicted classes.
        confidence: ``(N,)`` probability of the predicted class, or ``None``.
        target_probability: ``(N,)`` probability of the true class, or ``None``.
    """

    ids: NDArray[np.str_]
    target: NDArray[np.int64]
    prediction: NDArray[np.int64]
    confidence: NDArray[np.float64] | None = None
    target_probability: NDArray[np.float64] | None = None

    @property
    def correct(self) -> NDArray[np.float64]:
        """``(N,)`` 1.0 where the prediction is right."""
        right: NDArray[np.float64] = (self.prediction == self.target).astype(np.float64)
        return right


@dataclass(frozen=True, eq=False)
class RunFiles:
    """One finished run as its folder tells it.

    Attributes:
        folder: where it was read.
        metrics: ``metrics.json``.
        run: ``run.json`` (empty when missing).
        epochs: the lines of ``metrics.jsonl`` (empty when missing).
        predictions: ``predictions.npz`` or ``None``.
        thumbnails: ``[{"class", "prediction", "png"}]`` of worst images (empty when missing).
    """

    folder: Path
    metrics: Mapping[str, Any]
    run: Mapping[str, Any] = field(default_factory=dict)
    epochs: tuple[Mapping[str, Any], ...] = ()
    predictions: Predictions | None = None
    thumbnails: tuple[Mapping[str, str], ...] = ()

    @property
    def recipe(self) -> str:
        """Name of the recipe."""
        value = self.metrics.get("recipe", "unnamed")
        return str(value.get("name", "unnamed") if isinstance(value, Mapping) else value)

    @property
    def seed(self) -> Any:
        """The seed of the run, or ``None``."""
        return self.metrics.get("seed")

    @property
    def test(self) -> Mapping[str, Any]:
        """Test metrics (validation metrics where there is no test part)."""
        return self.metrics.get("test") or self.metrics.get("validation") or {}

    @property
    def part(self) -> str:
        """Which part of the data :attr:`test` was measured on."""
        return "test" if self.metrics.get("test") else "validation"

    @property
    def data(self) -> Mapping[str, Any]:
        """The ``data`` entry: name, fingerprint, counts, class names."""
        return self.metrics.get("data") or {}

    @property
    def class_names(self) -> tuple[str, ...]:
        """``(C,)`` names, in class-id order."""
        names = self.data.get("class_names") or self.run.get("class_names")
        if names:
            return tuple(str(name) for name in names)
        known = self.data.get("counts") or self.test.get("per_class") or ()
        return tuple(str(i) for i in range(len(known)))

    @property
    def num_classes(self) -> int:
        """``C``."""
        return len(self.class_names)

    @property
    def counts(self) -> NDArray[np.float64]:
        """``(C,)`` training counts; NaN where unknown."""
        return self._per_class(self.data.get("counts") or self.run.get("counts"))

    @property
    def natural(self) -> NDArray[np.float64]:
        """``(C,)`` shares of the classes in training, empty ones counted as one more; NaN unknown."""
        counts = self.counts
        if self.run.get("on_empty") == "smooth" and (counts == 0).any():
            counts = counts + 1
        total = counts.sum()
        return counts / total if total > 0 else np.full(self.num_classes, np.nan)

    @property
    def effective_prior(self) -> list[float] | None:
        """``(C,)`` prior of the model's own softmax, or ``None`` where no formula gives it."""
        return self.metrics.get("effective_prior") or None

    @property
    def recall(self) -> NDArray[np.float64]:
        """``(C,)`` recall of each class; NaN where the class has no test row."""
        return self._per_class(self.test.get("per_class"))

    @property
    def n_test(self) -> NDArray[np.int64] | None:
        """``(C,)`` test rows of each class, or ``None`` where unknown."""
        if self.predictions is not None:
            return np.bincount(self.predictions.target, minlength=self.num_classes)
        known = self.test.get("test_counts")
        return None if known is None else np.asarray(known, dtype=np.int64)

    @property
    def n_predicted(self) -> NDArray[np.int64] | None:
        """``(C,)`` how often each class was predicted, or ``None`` without predictions."""
        if self.predictions is None:
            return None
        return np.bincount(self.predictions.prediction, minlength=self.num_classes)

    @property
    def order(self) -> NDArray[np.int64]:
        """``(C,)`` class ids by descending training count; ties by id."""
        counts = np.nan_to_num(self.counts, nan=-1.0)
        return np.argsort(-counts, kind="stable").astype(np.int64)

    @property
    def group_ids(self) -> dict[str, list[int]]:
        """Class ids of each shot group."""
        groups = self.metrics.get("groups") or {}
        return {name: [int(i) for i in groups.get(name) or ()] for name in GROUPS}

    def group_of_class(self) -> list[str]:
        """``(C,)`` the shot group of each class; empty where unknown."""
        out = [""] * self.num_classes
        for name, ids in self.group_ids.items():
            for i in ids:
                if 0 <= i < len(out):
                    out[i] = name
        return out

    def _per_class(self, values: Any) -> NDArray[np.float64]:
        out = np.full(self.num_classes, np.nan)
        if values is not None and len(values) == self.num_classes:
            out[:] = [math.nan if v is None else float(v) for v in values]
        return out


def read_run(folder: Path | str) -> RunFiles:
    """Read one run folder.

    Args:
        folder: a folder with at least ``metrics.json``.

    Raises:
        DataError: no such folder, no metrics, or a file that cannot be read.
    """
    folder = Path(folder)
    if not (folder / "metrics.json").is_file():
        raise DataError(
            f"{str(folder)!r} is not a finished run: it has no metrics.json",
            "give the folder that `longtail train --output` wrote, after training has ended",
        )
    metrics = _read_json(folder / "metrics.json")
    run = folder / "run.json"
    thumbnails = folder / "thumbnails.json"
    read = RunFiles(
        folder=folder,
        metrics=metrics,
        run=_read_json(run) if run.is_file() else {},
        epochs=_read_lines(folder / "metrics.jsonl"),
        predictions=_read_predictions(folder / "predictions.npz"),
        thumbnails=tuple(_read_json(thumbnails)) if thumbnails.is_file() else (),
    )
    rows = read.predictions
    if rows is not None and len(rows.target) and read.num_classes:
        top = int(max(rows.target.max(), rows.prediction.max()))
        low = int(min(rows.target.min(), rows.prediction.min()))
        if low < 0 or top >= read.num_classes:
            raise DataError(
                f"predictions.npz of {str(folder)!r} names class {top if low >= 0 else low}, "
                f"but the run has {read.num_classes} classes",
                "the files of this folder belong to different runs; train again into a new folder",
            )
    return read


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{str(path)!r} cannot be read as JSON ({error})",
            "the file is damaged; train again into a new folder",
        ) from error


def _read_lines(path: Path) -> tuple[Mapping[str, Any], ...]:
    """The lines of a JSON-lines file; a last line cut short by a kill is left out."""
    if not path.is_file():
        return ()
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    out: list[Mapping[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            out.append(json.loads(line))
        except ValueError as error:
            if number == len(lines):
                break
            raise DataError(
                f"line {number} of {str(path)!r} is not JSON",
                "the file is damaged; train again into a new folder",
            ) from error
    return tuple(out)


def _read_predictions(path: Path) -> Predictions | None:
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = {name: np.asarray(stored[name]) for name in stored.files}
    except (OSError, ValueError) as error:
        raise DataError(
            f"{str(path)!r} cannot be read ({error})", "evaluate the run again to write it anew"
        ) from error
    missing = [name for name in PREDICTION_FIELDS if name not in found]
    if missing:
        raise DataError(
            f"{str(path)!r} has no array {missing[0]!r}",
            f"it needs {', '.join(PREDICTION_FIELDS)}; evaluate the run again",
        )
    confidence, probability = found.get("confidence"), found.get("target_probability")
    return Predictions(
        ids=found["ids"].astype(str),
        target=found["target"].astype(np.int64),
        prediction=found["prediction"].astype(np.int64),
        confidence=None if confidence is None else confidence.astype(np.float64),
        target_probability=None if probability is None else probability.astype(np.float64),
    )
