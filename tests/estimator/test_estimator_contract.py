"""scikit-learn's own contract: check_estimator, parameters, clones, searches, pipelines."""

from __future__ import annotations

import io
import pickle
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from longtail import LongTailClassifier
from longtail.errors import LongtailError, UnknownNameError
from longtail.estimator import EXPECTED_FAILED_CHECKS
from longtail.registry import records

QUIET = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
CHECKABLE = [
    r.name for r in records("recipes") if "table" in r.modalities and "unlabelled" not in r.needs
]
MEANS = "the head is filled from class means, and a mean does not depend on its class's weight"
#: Recipes whose classifier cannot follow weights of 10^7 to 1, as check_class_weight_classifiers asks.
DEAF_TO_CLASS_WEIGHT = {
    "ncm": MEANS,
    "decoupled_ncm": MEANS,
    "generative_head": MEANS,
    "tde": "what moves all rows towards one class is the effect that the counterfactual removes",
    "etf": "dot regression pulls a row to its own fixed vector and pushes from none: too slow for 10 epochs",
}


@QUIET
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [LongTailClassifier(epochs=8)], expected_failed_checks=lambda e: EXPECTED_FAILED_CHECKS
)
def test_sklearn_check(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.full
@QUIET
def test_check_estimator_with_defaults() -> None:
    done = check_estimator(
        LongTailClassifier(), expected_failed_checks=EXPECTED_FAILED_CHECKS, on_skip=None
    )
    assert len(done) > 50
    wrong = {r["check_name"] for r in done if r["status"] == "xfail"} - set(EXPECTED_FAILED_CHECKS)
    assert not wrong


@pytest.mark.full
@QUIET
@pytest.mark.parametrize("recipe", CHECKABLE)
def test_check_estimator_of_every_recipe(recipe: str) -> None:
    expected = dict(EXPECTED_FAILED_CHECKS)
    if recipe in DEAF_TO_CLASS_WEIGHT:
        expected["check_class_weight_classifiers"] = DEAF_TO_CLASS_WEIGHT[recipe]
    done = check_estimator(
        LongTailClassifier(recipe, epochs=10), expected_failed_checks=expected, on_skip=None
    )
    failed = {r["check_name"] for r in done if r["status"] == "xfail"}
    assert failed >= set(expected) - set(EXPECTED_FAILED_CHECKS), "no longer deaf: say so above"


@QUIET
@pytest.mark.parametrize("recipe", ["ncm", "decoupled_ncm", "generative_head"])
def test_class_weights_that_cannot_reach_the_head_are_named(
    recipe: str, table: np.ndarray, ids: np.ndarray
) -> None:
    model = LongTailClassifier(recipe, epochs=1, random_state=0, class_weight="balanced")
    assert any("class means" in note for note in model.fit(table, ids).notes_)
    plain = LongTailClassifier(recipe, epochs=1, random_state=0).fit(table, ids)
    assert not any("class means" in note for note in plain.notes_)


def test_expected_failures_are_the_two_weight_equivalences() -> None:
    assert sorted(EXPECTED_FAILED_CHECKS) == [
        "check_sample_weight_equivalence_on_dense_data",
        "check_sample_weight_equivalence_on_sparse_data",
    ]


def test_recipe_parameters_are_routed() -> None:
    given = {"margin": 0.4}
    model = LongTailClassifier("ldam", recipe_params=given)
    assert model.get_params()["recipe__margin"] == 0.4
    assert "recipe__margin" not in model.get_params(deep=False)
    model.set_params(recipe__margin=0.3, epochs=3)
    assert (model.recipe_params, model.epochs) == ({"margin": 0.3}, 3)
    assert given == {"margin": 0.4}
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert copy.recipe_params is not model.recipe_params
    copy.set_params(recipe__margin=0.1)
    assert model.recipe_params == {"margin": 0.3}
    with pytest.raises(ValueError, match="Invalid parameter 'margin'"):
        model.set_params(margin=0.3)


def test_routed_parameters_reach_the_recipe(table: np.ndarray, ids: np.ndarray) -> None:
    model = LongTailClassifier("ldam", epochs=2, random_state=0)
    model.set_params(recipe__margin=np.float64(0.25), recipe__clip=2.0)
    model.set_params(recipe__stages__0__schedule="constant")
    stage = model.fit(table, ids).recipe_.stages[0]
    assert stage.loss.kwargs["margin"] == 0.25
    assert (stage.clip, stage.schedule.name) == (2.0, "constant")
    low, high = (clone(model).set_params(recipe__margin=m).fit(table, ids) for m in (0.01, 0.9))
    assert not np.allclose(low.predict_proba(table), high.predict_proba(table))


def test_unknown_names_suggest_the_nearest(table: np.ndarray, ids: np.ndarray) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'balanced_softmax'"):
        LongTailClassifier("balanced_sofmax").fit(table, ids)
    with pytest.raises(UnknownNameError, match="margin"):
        LongTailClassifier("ldam", recipe_params={"margni": 1}).fit(table, ids)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"epochs": 2.5},
        {"batch_size": -1},
        {"lr": 0.0},
        {"lr": "fast"},
        {"validation": 1.0},
        {"random_state": -1},
        {"random_state": "seed"},
        {"recipe": None},
        {"recipe_params": 3},
        {"backbone": "resnet32"},
        {"backbone": "mpl"},
        {"device": "tpu"},
        {"target_prior": "unifrom"},
        {"class_weight": "balance"},
        {"recipe": "paco"},
    ],
)
def test_wrong_parameters_are_refused_in_fit(
    wrong: dict[str, Any], table: np.ndarray, ids: np.ndarray
) -> None:
    with pytest.raises(ValueError):
        LongTailClassifier(**{"epochs": 1, **wrong}).fit(table, ids)


def test_grid_search_over_recipe_parameters(table: np.ndarray, ids: np.ndarray) -> None:
    rows, targets = table[:56], ids[:56]
    search = GridSearchCV(
        LongTailClassifier("la", epochs=2, random_state=0),
        {"recipe__tau": np.array([0.5, 1.5])},
        cv=2,
    )
    search.fit(rows, targets)
    assert set(search.best_params_) == {"recipe__tau"}
    assert search.best_estimator_.recipe_params == {"tau": search.best_params_["recipe__tau"]}


def test_cross_validation_and_pipeline(
    table: np.ndarray, texts: list[str], ids: np.ndarray
) -> None:
    pipe = make_pipeline(StandardScaler(), LongTailClassifier("ldam", epochs=2, random_state=0))
    pipe.set_params(longtailclassifier__recipe__margin=0.2)
    assert pipe[-1].recipe_params == {"margin": 0.2}
    assert cross_val_score(pipe, table[:56], ids[:56], cv=2).shape == (2,)
    plain = LongTailClassifier(epochs=1, random_state=0)
    assert np.isfinite(cross_val_score(plain, texts[:56], ids[:56], cv=2)).all()


def test_fitted_model_is_plain_and_pickles(inputs: dict[str, Any], labels: np.ndarray) -> None:
    for X in inputs.values():
        model = LongTailClassifier(epochs=1, random_state=0).fit(X, labels)
        modules = [model.network_, *model.adjusters_]
        assert all(isinstance(m, torch.nn.Module) for m in modules)
        assert all(p.device.type == "cpu" and p.grad is None for p in model.network_.parameters())
        data = pickle.dumps(model)
        for word in (b"lightning", b"torch.optim", b"Dataset", b"longtail.engine.feed"):
            assert word not in data
        again = pickle.loads(data)
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
        np.testing.assert_array_equal(again.fit(X, labels).predict_proba(X), model.predict_proba(X))
        stream = io.BytesIO()
        joblib.dump(model, stream)
        stream.seek(0)
        assert (joblib.load(stream).predict(X) == model.predict(X)).all()


def test_random_state(table: np.ndarray, ids: np.ndarray) -> None:
    def proba(state: Any) -> np.ndarray:
        return LongTailClassifier(epochs=2, random_state=state).fit(table, ids).predict_proba(table)

    torch_before = torch.random.get_rng_state()
    numpy_before = np.random.get_state()[1].copy()
    first = proba(0)
    np.testing.assert_array_equal(first, proba(0))
    assert not np.array_equal(first, proba(1))
    assert not np.array_equal(proba(None), proba(None))
    np.testing.assert_array_equal(proba(np.random.RandomState(3)), proba(np.random.RandomState(3)))
    assert torch.equal(torch_before, torch.random.get_rng_state())
    np.testing.assert_array_equal(numpy_before, np.random.get_state()[1])


def test_not_fitted(table: np.ndarray) -> None:
    for method in ("predict", "predict_proba", "decision_function"):
        with pytest.raises(NotFittedError):
            getattr(LongTailClassifier(), method)(table)


def test_nothing_is_read_from_or_written_to_the_working_directory(
    table: np.ndarray, ids: np.ndarray, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "journal.json").write_text("{}")
    (tmp_path / "metrics.jsonl").write_text("not json")
    LongTailClassifier(epochs=1, random_state=0).fit(table, ids)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["journal.json", "metrics.jsonl"]


def test_errors_have_two_lines(table: np.ndarray, ids: np.ndarray) -> None:
    with pytest.raises(LongtailError) as caught:
        LongTailClassifier(epochs=0).fit(table, ids)
    assert len(str(caught.value).splitlines()) == 2


def test_fits_in_threads_equal_fits_in_turn(table: np.ndarray, ids: np.ndarray) -> None:
    def proba(seed: int) -> np.ndarray:
        model = LongTailClassifier("crt", epochs=2, random_state=seed)
        return model.fit(table, ids).predict_proba(table)

    seeds = list(range(4)) * 4
    alone = [proba(seed) for seed in range(4)]
    together = joblib.Parallel(4, backend="threading")(joblib.delayed(proba)(s) for s in seeds)
    for seed, found in zip(seeds, together, strict=True):
        np.testing.assert_array_equal(found, alone[seed])
