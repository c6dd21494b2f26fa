"""What a scikit-learn user hands over, as the data room takes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, validate_data
from torch import Tensor

from longtail.data import Dataset, Encoder, ResidentStore, Split, tail_safe_split
from longtail.data.assemble import default_augment, default_backbone
from longtail.data.encode import fit_image_spec, fit_table_spec, fit_text_spec
from longtail.data.images import pixels
from longtail.data.raw import Table
from longtail.data.tables import from_array, from_frame
from longtail.errors import DataError

if TYPE_CHECKING:
    from longtail.models.inputs import InputSpec

__all__ = [
    "encode_rows",
    "input_kind",
    "make_dataset",
    "read_inputs",
    "read_targets",
    "read_weights",
]

NUMBERS = "biufc"
UNLABELLED = -1


def input_kind(X: Any) -> str:
    """``table`` (numbers only), ``mixed`` (numbers and words), ``image`` or ``text``.

    By type and number of axes: two are a table, three or four images, one of strings texts.
    What is none of these counts as a table, so that scikit-learn says what is wrong with it.
    """
    if hasattr(X, "columns") and hasattr(X, "iloc"):
        plain = all(getattr(d, "kind", "O") in NUMBERS for d in X.dtypes)
        return "table" if plain else "mixed"
    if issparse(X):
        return "table"
    if isinstance(X, list | tuple) and len(X) and isinstance(X[0], str):
        return "text"
    if isinstance(X, list | tuple) and len(X) and isinstance(X[0], Path):
        raise DataError(
            "files are not read by the estimator",
            "give arrays of images, or train on the folder: longtail train DIR",
        )
    array = X if isinstance(X, Tensor | np.ndarray) else _as_array(X)
    if array.ndim in (3, 4):
        return "image"
    if isinstance(array, Tensor) or array.dtype.kind not in "OUT":
        return "table"
    words = array.dtype.kind in "UT" or any(isinstance(v, str) for v in array.flat)
    if words and array.ndim == 1:
        return "text"
    return "mixed" if words and array.ndim == 2 else "table"


def _as_array(X: Any) -> NDArray[Any]:
    try:
        return np.asarray(X)
    except ValueError as error:
        raise DataError(
            "the samples have different shapes", "give one array, all samples of the same shape"
        ) from error


def read_inputs(estimator: Any, X: Any, kind: str, *, reset: bool) -> Any:
    """A ``Table``, a list of texts or a uint8 image tensor; sets or checks the features seen.

    Args:
        estimator: gets ``n_features_in_`` and, of a frame, ``feature_names_in_``.
        X: as given by the user.
        kind: of :func:`input_kind`, as seen in fit.
        reset: True in fit.
    """
    if kind == "table":
        values = validate_data(estimator, _plain(X), reset=reset, dtype="numeric")
        return from_array(values, getattr(estimator, "feature_names_in_", None))
    if kind == "mixed":
        return _mixed(estimator, X, reset)
    if kind == "text":
        return _texts(X)
    images = pixels(X if isinstance(X, Tensor | np.ndarray) else _as_array(X))
    if not len(images):
        raise DataError("there are no images", "give at least one")
    if reset:
        estimator.n_features_in_ = images[0].numel()
    return images


def _mixed(estimator: Any, X: Any, reset: bool) -> Table:
    if not (hasattr(X, "columns") and hasattr(X, "iloc")):
        X = np.asarray(X, dtype=object)
        if X.ndim != 2:
            raise DataError(
                f"a table must have the shape (N, F), not {X.shape}", "give one row a sample"
            )
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    if not len(X):
        raise DataError("the table has no row", "give at least one")
    names = getattr(estimator, "feature_names_in_", None)
    return from_frame(X) if hasattr(X, "columns") else from_array(X, names)


def _texts(X: Any) -> list[Any]:
    if isinstance(X, str):
        raise DataError("a single string is no list of texts", "give [text]")
    values = X if isinstance(X, list | tuple) else np.asarray(X, dtype=object)
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise DataError(
            f"texts must be a list, not an array of shape {np.shape(values)}", "give (N,)"
        )
    return [str(v) if isinstance(v, np.str_) else v for v in values]


def _plain(X: Any) -> Any:
    return X.detach().cpu().numpy() if isinstance(X, Tensor) else X


def _take(values: Any, index: NDArray[np.int64]) -> Any:
    """The samples at some positions."""
    if isinstance(values, Table):
        return values.take(index)
    if isinstance(values, Tensor):
        return values[torch.from_numpy(index)]
    return [values[i] for i in index.tolist()]


def _fit_spec(values: Any, notes: list[str]) -> InputSpec:
    """How inputs are encoded, by the training rows."""
    if isinstance(values, Table):
        return fit_table_spec(values, notes)
    if isinstance(values, Tensor):
        return fit_image_spec(ResidentStore(values))
    return fit_text_spec(values, None)


def encode_rows(spec: InputSpec, values: Any) -> Tensor:
    """``(N, ...)`` uint8 images, float32 rows or int32 tokens."""
    if not isinstance(values, Tensor):
        return Encoder(spec)(values)
    if tuple(values.shape[1:]) != spec.shape:
        raise DataError(
            f"images have the shape {tuple(values.shape[1:])} and the model expects {spec.shape}",
            "resize them first",
        )
    return values


def read_targets(
    estimator: Any, X: Any, y: Any, *, unlabelled: bool
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The sorted classes ``(C,)``, and the class id of each row (-1: no label).

    Args:
        estimator: named in messages.
        X: for its number of rows.
        y: ``(N,)`` labels of any kind that sorts.
        unlabelled: whether the label -1 means "not known".
    """
    name = type(estimator).__name__
    if y is None:
        raise DataError(f"{name} requires y to be passed, but the target y is None", "give y")
    if unlabelled and isinstance(y, list | tuple):
        y = np.array(y, dtype=object)  # -1 stays a number beside strings
    y = column_or_1d(_plain(y), warn=True)
    assert_all_finite(y, input_name="y", estimator_name=name)
    check_consistent_length(X, y)
    hidden = np.zeros(len(y), dtype=bool)
    if unlabelled:
        hidden = np.array([not isinstance(v, str) and v == UNLABELLED for v in y.tolist()], bool)
        if not hidden.any():
            raise DataError(
                f"recipe {estimator.recipe!r} needs unlabelled rows and y has none",
                f"mark them by the label {UNLABELLED} in y",
            )
        if not hidden.all():
            y = np.asarray(y.tolist()) if y.dtype == object else y
    check_classification_targets(y[~hidden])
    classes, ids = np.unique(y[~hidden], return_inverse=True)
    out = np.full(len(y), -1, dtype=np.int64)
    out[~hidden] = ids
    if len(classes) < 2:
        raise DataError(
            f"{name} needs samples of at least 2 classes in the data, and there is "
            f"{len(classes)} class" + (f": {classes[0]!r}" if len(classes) else ""),
            "give rows of another class too",
        )
    return classes, out


def read_weights(
    sample_weight: Any, class_weight: Any, classes: NDArray[Any], ids: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """``(N,)`` sample weights times class weights, mean 1 over rows in use, or ``None``.

    Args:
        sample_weight: ``(N,)`` numbers of at least 0, one number for all, or ``None``.
        class_weight: ``None``, ``"balanced"`` or a mapping of labels to weights.
        classes: the sorted classes.
        ids: class id of each row, -1 for a row without label.
    """
    if sample_weight is None and class_weight is None:
        return None
    given = 1.0 if sample_weight is None else _plain(sample_weight)
    weight = np.array(given, dtype=np.float64)
    if weight.ndim == 0:
        weight = np.full(len(ids), float(weight))
    if weight.shape != ids.shape:
        raise DataError(
            f"sample_weight has the shape {weight.shape}, and there are {len(ids)} rows",
            "give one weight a row",
        )
    assert_all_finite(weight, input_name="sample_weight")
    if class_weight is not None:
        known = ids >= 0
        labels = classes[ids[known]]
        each = compute_class_weight(class_weight, classes=classes, y=labels)
        weight[known] *= np.asarray(each, dtype=np.float64)[ids[known]]
    if (weight < 0).any():
        raise DataError("sample weights must not be negative", "give weights of at least 0")
    if not (weight[ids >= 0] > 0).any():
        raise DataError("all sample weights are zero", "give at least one row a weight above zero")
    weight /= weight[(ids >= 0) & (weight > 0)].mean()
    return np.asarray(weight)


def make_dataset(
    values: Any,
    classes: NDArray[Any],
    ids: NDArray[np.int64],
    weight: NDArray[np.float64] | None,
    *,
    share: float,
    seed: int,
    notes: list[str],
) -> Dataset:
    """Training rows (and validation rows, unlabelled rows) of what was read.

    Args:
        values: of :func:`read_inputs`.
        classes: ``(C,)`` labels.
        ids: ``(N,)`` class ids, -1 without label.
        weight: ``(N,)`` or ``None``; rows of weight 0 are left out.
        share: of the labelled rows for validation.
        seed: of that cut.
        notes: lines for the user are added here.
    """
    names = tuple(str(c) for c in classes.tolist())
    cut = _cut_rows(names, ids, weight, share, seed, notes)
    parts = {k: _take(values, at) for k, at in cut.items()}
    spec = _fit_spec(parts["train"], notes)

    def split(key: str) -> Split | None:
        if key not in cut:
            return None
        at = cut[key]
        rows = ResidentStore(encode_rows(spec, parts[key]))
        chosen = None if weight is None else torch.from_numpy(weight[at].astype(np.float32))
        return Split(rows, torch.from_numpy(ids[at]), [str(i) for i in at], chosen)

    train = split("train")
    assert train is not None
    return Dataset(
        name="arrays",
        modality=spec.kind,
        class_names=names,
        input_spec=spec,
        train=train,
        validation=split("validation"),
        unlabelled=split("unlabelled"),
        default_backbone=default_backbone(spec.kind, spec.shape),
        default_augment=default_augment(spec.kind, spec.shape),
        notes=tuple(notes),
    )


def _cut_rows(
    names: tuple[str, ...],
    ids: NDArray[np.int64],
    weight: NDArray[np.float64] | None,
    share: float,
    seed: int,
    notes: list[str],
) -> dict[str, NDArray[np.int64]]:
    """Positions of each part's rows; rows of weight 0 belong to none."""
    used = np.ones(len(ids), bool) if weight is None else weight > 0
    rows = np.flatnonzero(used & (ids >= 0))
    present = set(ids[rows].tolist())
    if len(present) < 2:
        raise DataError(
            "only one class has rows of a weight above zero", "a classifier needs two classes"
        )
    absent = [name for i, name in enumerate(names) if i not in present]
    if absent:
        notes.append(
            f"{len(absent)} classes have no row of a weight above zero and count as having "
            f"one: {', '.join(absent[:8])}"
        )
    cut = tail_safe_split(
        ids[rows], names, [str(i) for i in rows], seed=seed, test=False, validation=share
    )
    out = {k: rows[at] for k, at in cut.items() if len(at)}
    hidden = np.flatnonzero(ids < 0)
    if len(hidden):
        out["unlabelled"] = hidden[used[hidden]]
        if not len(out["unlabelled"]):
            raise DataError("every unlabelled row has the weight 0", "give some a weight above 0")
    return out
