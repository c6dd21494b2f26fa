"""A scikit-learn classifier over any recipe: tables, images, texts and data frames."""

from __future__ import annotations

import copy
import inspect
import sys
import warnings
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from longtail import _estimator_inputs as inputs
from longtail.engine.feed import to_float
from longtail.engine.runner import Run, RunConfig, fit
from longtail.engine.stage import Recipe
from longtail.errors import ConfigError
from longtail.models import FittedHead, InputSpec
from longtail.registry import PartSpec, Record, get

__all__ = ["EXPECTED_FAILED_CHECKS", "LongTailClassifier"]

_MINI_BATCHES = (
    "training takes random mini-batches: leaving a row out, or giving it twice, changes the "
    "batches of all others, so weights 0 and 2 are equal to that in expectation only"
)
#: For ``check_estimator(..., expected_failed_checks=EXPECTED_FAILED_CHECKS)``.
EXPECTED_FAILED_CHECKS: dict[str, str] = {
    "check_sample_weight_equivalence_on_dense_data": _MINI_BATCHES,
    "check_sample_weight_equivalence_on_sparse_data": _MINI_BATCHES,
}

_ROUTE = "recipe__"
_CHUNK = 512


class LongTailClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A deep classifier for long-tailed data, trained by a recipe.

    ``X`` is a table ``(N, F)`` of numbers, a data frame with columns of numbers and words, an
    array of images ``(N, h, w)``, ``(N, h, w, c)`` or ``(N, c, h, w)`` (whole numbers 0-255, or
    floats in [0, 1]), or a list of ``N`` texts.

    Args:
        recipe: name of a recipe (``longtail list recipes``).
        epochs: in all; default: the backbone's or the recipe's own.
        batch_size: rows a step; default: the largest power of two from 128 to 16 that gives
            20 steps an epoch.
        lr: learning rate; default: the recipe's.
        backbone: name of a backbone; default: by the kind of input.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``, for training and prediction. Between
            calls the model is on the CPU.
        class_weight: ``None``, ``"balanced"`` or ``{label: weight}``; multiplies
            ``sample_weight``. It comes on top of what the recipe does.
        target_prior: the prior that probabilities answer to: ``as_trained``, ``natural``,
            ``uniform``, a CSV file, one weight a class, or ``{label: weight}``.
        validation: share of the rows cut for validation. At 0 none is, unless the recipe
            needs one: then 0.1. No row of a class with less than 5 is taken.
        random_state: an integer makes fits repeatable; ``None`` draws a fresh seed.
        recipe_params: hyper-parameters of the recipe by keyword, or paths of its fields with
            ``__`` for dots; ``set_params(recipe__margin=0.3)`` sets one.
        verbose: 1 shows progress and notes on stderr.

    Attributes:
        classes_: ``(C,)`` sorted labels.
        n_features_in_: columns of the table, or numbers an image; not set for texts.
        feature_names_in_: of a data frame.
        n_iter_: epochs trained.
        network_: the network, on the CPU, in eval mode.
        adjusters_: fitted adjusters, applied to its outputs in order.
        recipe_: the resolved recipe.
        input_spec_: how inputs are encoded.
        effective_prior_: ``(C,)`` prior that the model answers to, or ``None`` (unknown).
        metrics_: cost, counts and, with validation rows, how well the model did on them.
        notes_: what the user should know of this fit.

    Rows of weight 0 are left out. Recipes that need unlabelled rows take the label -1 in ``y``
    for "unlabelled", as ``sklearn.semi_supervised`` does.

    Example:
        >>> from longtail import LongTailClassifier
        >>> LongTailClassifier("ldam_drw", random_state=0).fit(X, y).predict(X)  # doctest: +SKIP
    """

    def __init__(
        self,
        recipe: str = "balanced_softmax",
        *,
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        backbone: str | None = None,
        device: str = "auto",
        class_weight: Any = None,
        target_prior: Any = "as_trained",
        validation: float = 0.0,
        random_state: Any = None,
        recipe_params: Mapping[str, Any] | None = None,
        verbose: int = 0,
    ) -> None:
        self.recipe = recipe
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.backbone = backbone
        self.device = device
        self.class_weight = class_weight
        self.target_prior = target_prior
        self.validation = validation
        self.random_state = random_state
        self.recipe_params = recipe_params
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; deep: those in ``recipe_params`` as ``recipe__NAME`` too."""
        params: dict[str, Any] = super().get_params(deep=deep)
        if deep and isinstance(self.recipe_params, Mapping):
            params |= {f"{_ROUTE}{name}": value for name, value in self.recipe_params.items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters; ``recipe__NAME=value`` goes to ``recipe_params``."""
        routed = {k: v for k, v in params.items() if k.startswith(_ROUTE)}
        super().set_params(**{k: v for k, v in params.items() if k not in routed})
        if routed:
            new = {k.removeprefix(_ROUTE): v for k, v in routed.items()}
            self.recipe_params = {**(self.recipe_params or {}), **new}
        return self

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on labelled samples; a second call starts afresh.

        Args:
            X: ``N`` samples, see the class.
            y: ``(N,)`` labels of any kind that sorts.
            sample_weight: ``(N,)`` weights of at least 0; only their ratios matter.

        Raises:
            ValueError: the inputs, or a parameter, cannot be used; the message says why.
        """
        record, seed = self._check(), self._seed()
        for name in {"n_features_in_", "feature_names_in_"} & vars(self).keys():
            delattr(self, name)
        kind = inputs.input_kind(X)
        values = inputs.read_inputs(self, X, kind, reset=True)
        classes, ids = inputs.read_targets(self, values, y, unlabelled="unlabelled" in record.needs)
        weight = inputs.read_weights(sample_weight, self.class_weight, classes, ids)
        notes: list[str] = []
        share = float(self.validation) or (0.1 if "validation" in record.needs else 0.0)
        data = inputs.make_dataset(
            values, classes, ids, weight, share=share, seed=seed, notes=notes
        )
        run = fit(self._config(record, seed), data)
        self.classes_ = classes
        self._kind = kind
        self._keep(run, notes)
        if self.class_weight is not None and isinstance(run.network.decider, FittedHead):
            self.notes_.append(
                "class_weight reached the features only: this head is filled from class means"
            )
        if self.class_weight == "balanced":
            self._warn_of_two_corrections(run)
        if self.verbose:
            print(*self.notes_, sep="\n", end="\n" if self.notes_ else "", file=sys.stderr)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """``(N, C)`` probabilities, columns in the order of ``classes_``."""
        return np.asarray(self._logits(X).softmax(-1).numpy())

    def predict(self, X: Any) -> NDArray[Any]:
        """``(N,)`` labels: the most probable class."""
        best = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[best])

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """``(N, C)`` logits; of two classes ``(N,)``, the second minus the first."""
        logits = self._logits(X)
        return np.asarray((logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits).numpy())

    def _check(self) -> Record:
        if not isinstance(self.recipe, str):
            raise ConfigError(f"recipe={self.recipe!r} is not a name", "see longtail list recipes")
        record = get("recipes", self.recipe)
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, Integral) or value < 1):
                raise ConfigError(f"{name}={value!r} is no whole number of at least 1", "give one")
        if self.lr is not None and not (isinstance(self.lr, Real) and 0 < self.lr < np.inf):
            raise ConfigError(f"lr={self.lr!r} is no positive number", "leave it out, or try 0.01")
        share = self.validation
        if not isinstance(share, Real) or not 0 <= share < 1:
            raise ConfigError(f"validation={share!r} is no share", "give a number in [0, 1)")
        if self.recipe_params is not None and not isinstance(self.recipe_params, Mapping):
            raise ConfigError(
                f"recipe_params={self.recipe_params!r} is no mapping", "give {'margin': 0.3}"
            )
        return record

    def _seed(self) -> int:
        state = self.random_state
        if state is None:
            return int(np.random.default_rng().integers(2**31))
        if isinstance(state, np.random.RandomState):
            return int(state.randint(2**31 - 1))
        if isinstance(state, Integral) and 0 <= int(state) < 2**32:
            return int(state)
        raise ConfigError(
            f"random_state={state!r} is no seed", "give a whole number from 0 to 4294967295"
        )

    def _config(self, record: Record, seed: int) -> RunConfig:
        keywords = inspect.signature(record.load()).parameters
        given = {k: _python(v) for k, v in (self.recipe_params or {}).items()}
        paths = {k.replace("__", "."): v for k, v in given.items() if k not in keywords}
        return RunConfig(
            data="arrays",
            recipe=record.called(self.recipe),
            set=tuple(f"{path}={_text(v)}" for path, v in paths.items()),
            options=tuple((k, v) for k, v in given.items() if k in keywords),
            epochs=_python(self.epochs),
            batch_size=_python(self.batch_size),
            lr=_python(self.lr),
            seed=seed,
            device=self.device,
            backbone=self.backbone,
            target_prior=self.target_prior,
            output=None,
            progress=bool(self.verbose),
        )

    def _keep(self, run: Run, notes: list[str]) -> None:
        """Take from a run what prediction needs: plain modules on the CPU."""
        network = run.network.cpu().eval()
        network.zero_grad(set_to_none=True)
        # Rows of a table are cheap: float64 makes a row's result independent of its batch.
        self.network_ = network.double() if run.info["modality"] == "table" else network
        self.adjusters_ = [a.cpu() for a in run.adjusters]
        self.recipe_ = Recipe.from_data(run.info["recipe"])
        self.input_spec_ = InputSpec.from_data(run.info["inputs"])
        self.offset_ = run.prior_shift().double().numpy()
        self.effective_prior_ = None if run.effective is None else run.effective.cpu().numpy()
        self.metrics_ = run.metrics
        self.notes_ = list(dict.fromkeys([*notes, *run.metrics["notes"]]))
        self.n_iter_ = int(run.metrics["epochs"])

    def _warn_of_two_corrections(self, run: Run) -> None:
        if run.effective is None:
            return
        natural, effective = run.stats.prior.log(), run.effective.cpu().log()
        moved, spread = torch.stack([effective, natural]).cov()[0].tolist(), float(natural.std())
        if moved[1] < -0.1 * spread**2:
            line = (
                f"class_weight='balanced' and recipe {self.recipe!r} both correct the class prior: "
                "rare classes are now favoured. Leave class_weight out, or use recipe='ce'."
            )
            self.notes_.append(line)
            warnings.warn(line, UserWarning, stacklevel=3)

    def _logits(self, X: Any) -> Tensor:
        """``(N, C)`` float64 logits under the target prior."""
        check_is_fitted(self)
        values = inputs.read_inputs(self, X, self._kind, reset=False)
        rows = inputs.encode_rows(self.input_spec_, values)
        network, adjusters, device = self._placed()
        offset = torch.from_numpy(self.offset_)
        double = self.input_spec_.kind == "table"
        found = []
        with torch.no_grad():
            for chunk in torch.split(rows, _CHUNK):
                x = to_float(chunk.to(device))
                outputs = network(x.double() if double else x)
                for adjuster in adjusters:
                    outputs.logits = adjuster.transform(outputs)
                found.append(outputs.logits.cpu().double() + offset)
        return torch.cat(found)

    def _placed(self) -> tuple[Any, list[Any], torch.device]:
        """Network and adjusters on the device asked for; copies, unless that is the CPU."""
        name = "cpu" if self.device == "auto" and not torch.cuda.is_available() else self.device
        device = torch.device("cuda" if name == "auto" else name)
        if device.type == "cuda" and not torch.cuda.is_available():
            raise ConfigError("there is no CUDA device here", "set_params(device='cpu')")
        if device.type == "cpu":
            return self.network_, self.adjusters_, device
        network, adjusters = copy.deepcopy((self.network_, self.adjusters_))
        return network.to(device), [a.to(device) for a in adjusters], device


def _python(value: Any) -> Any:
    """A NumPy scalar (of a parameter grid) as a Python number."""
    return value.item() if isinstance(value, np.generic) else value


def _text(value: Any) -> str:
    """A value as ``PATH=VALUE`` takes it: YAML, or a part call."""
    if isinstance(value, PartSpec | str):
        return str(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_text(v) for v in value) + "]"
    return str(yaml.safe_dump(value)).partition("\n")[0]
