"""Weights, priors, validation, unlabelled rows, and every recipe through the estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from longtail import LongTailClassifier
from longtail.registry import records

RECIPES = list(records("recipes"))


def model(recipe: str = "ce", **options: Any) -> LongTailClassifier:
    return LongTailClassifier(recipe, **{"epochs": 4, "random_state": 0, **options})


def noise(rows: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Rows that say nothing of their class: a model can only learn the prior."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, 3)), (np.arange(rows) % 6 == 0).astype(int)


@pytest.mark.parametrize("record", RECIPES, ids=lambda r: r.name)
def test_every_recipe_on_every_kind_it_takes(
    record: Any, inputs: dict[str, Any], ids: np.ndarray
) -> None:
    y = ids.copy()
    if "unlabelled" in record.needs:
        y[::3] = -1
    for kind in record.modalities:
        X = inputs[kind]
        fitted = model(record.name, epochs=2, batch_size=32).fit(X, y)
        assert fitted.classes_.tolist() == [0, 1, 2, 3]
        proba = fitted.predict_proba(X)
        np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-6)
        np.testing.assert_array_equal(proba.argmax(1), fitted.predict(X))


def test_sample_weight_moves_the_prior_and_only_ratios_matter() -> None:
    X, y = noise()
    plain = model().fit(X, y).predict_proba(X)[:, 1].mean()
    weight = np.where(y == 1, 20.0, 1.0)
    heavy = model().fit(X, y, sample_weight=weight)
    assert plain < 0.35 < 0.6 < heavy.predict_proba(X)[:, 1].mean()
    scaled = model().fit(X, y, sample_weight=1000 * weight)
    np.testing.assert_allclose(scaled.predict_proba(X), heavy.predict_proba(X), rtol=1e-5)
    ones = model().fit(X, y, sample_weight=np.ones(len(y)))
    np.testing.assert_allclose(ones.predict_proba(X), model().fit(X, y).predict_proba(X), rtol=1e-5)


def test_class_weight_multiplies_sample_weight() -> None:
    X, y = noise()
    by_rows = model().fit(X, y, sample_weight=np.where(y == 1, 3.0, 1.0) * (1 + np.arange(len(y))))
    by_class = model(class_weight={1: 3.0}).fit(X, y, sample_weight=1 + np.arange(len(y)))
    np.testing.assert_allclose(by_class.predict_proba(X), by_rows.predict_proba(X), rtol=1e-5)
    balanced = model(class_weight="balanced").fit(X, y)
    np.testing.assert_allclose(balanced.effective_prior_, [0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(model().fit(X, y).effective_prior_, [5 / 6, 1 / 6], rtol=1e-6)


def test_two_corrections_are_said() -> None:
    X, y = noise()
    with pytest.warns(UserWarning, match="both correct the class prior"):
        fitted = model("balanced_softmax", class_weight="balanced").fit(X, y)
    np.testing.assert_allclose(fitted.effective_prior_, [1 / 6, 5 / 6], rtol=1e-6)


def test_rows_of_weight_zero_are_left_out(table: np.ndarray, ids: np.ndarray) -> None:
    weight = np.ones(len(ids))
    weight[::2] = 0
    some = model().fit(table, ids, sample_weight=weight)
    fewer = model().fit(table[1::2], ids[1::2])
    np.testing.assert_allclose(some.predict_proba(table), fewer.predict_proba(table), rtol=1e-5)
    assert some.metrics_["data"]["counts"] == np.bincount(ids[1::2]).tolist()


@pytest.mark.parametrize("recipe", ["ce", "crt", "ldam_drw", "ros", "hfl"])
def test_a_class_of_weight_zero_stays_a_class(
    recipe: str, table: np.ndarray, ids: np.ndarray
) -> None:
    fitted = model(recipe).fit(table, ids, sample_weight=(ids != 2).astype(float))
    assert fitted.classes_.tolist() == [0, 1, 2, 3]
    assert any("weight above zero" in note for note in fitted.notes_)
    with pytest.raises(ValueError, match="class"):
        model(recipe).fit(table, ids, sample_weight=(ids == 2).astype(float))


@pytest.mark.parametrize(
    ("weight", "match"),
    [
        (np.zeros(64), "weights are zero"),
        (-np.ones(64), "negative"),
        (np.ones(63), "shape"),
        (np.full(64, np.nan), "NaN"),
    ],
)
def test_bad_weights(weight: np.ndarray, match: str, table: np.ndarray, ids: np.ndarray) -> None:
    with pytest.raises(ValueError, match=match):
        model().fit(table, ids, sample_weight=weight)


def test_target_prior_governs_all_outputs(table: np.ndarray, ids: np.ndarray) -> None:
    trained = model().fit(table, ids)
    prior = np.array([40, 16, 6, 2]) / 64
    np.testing.assert_allclose(trained.effective_prior_, prior)
    np.testing.assert_array_equal(trained.offset_, 0)
    uniform = model(target_prior="uniform").fit(table, ids)
    moved = trained.predict_proba(table) / prior
    moved /= moved.sum(1, keepdims=True)
    np.testing.assert_allclose(uniform.predict_proba(table), moved, rtol=1e-5)
    np.testing.assert_array_equal(uniform.predict(table), moved.argmax(1))
    np.testing.assert_array_equal(uniform.decision_function(table).argmax(1), moved.argmax(1))
    named = model(target_prior={0: 1, 1: 1, 2: 1, 3: 1}).fit(table, ids)
    np.testing.assert_allclose(named.predict_proba(table), uniform.predict_proba(table), rtol=1e-6)
    with pytest.raises(ValueError, match="not known"):
        model("ldam", target_prior="uniform").fit(table, ids)


def test_validation_rows_are_held_out(table: np.ndarray, ids: np.ndarray) -> None:
    fitted = model(validation=0.25).fit(table, ids)
    assert fitted.metrics_["validation"]["balanced_accuracy"] is not None
    counts = np.array(fitted.metrics_["data"]["counts"])
    assert (counts < np.bincount(ids)).tolist() == [True, True, True, False]
    assert model().fit(table, ids).metrics_["validation"] is None


def test_a_recipe_that_needs_validation_gets_some(table: np.ndarray, ids: np.ndarray) -> None:
    fitted = model("la_posthoc").fit(table, ids)
    assert sum(fitted.metrics_["data"]["counts"]) < len(ids)
    assert len(fitted.adjusters_) == 1


def test_unlabelled_rows_are_marked_by_minus_one(table: np.ndarray, ids: np.ndarray) -> None:
    hidden = ids.copy()
    hidden[1::2] = -1
    fitted = model("pseudo_label").fit(table, hidden)
    assert fitted.classes_.tolist() == [0, 1, 2, 3]
    assert any("unlabelled rows joined" in note for note in fitted.notes_)
    words = [-1 if i < 0 else "dcba"[i] for i in hidden.tolist()]
    assert model("pseudo_label").fit(table, words).classes_.tolist() == list("abcd")
    weighted = model("pseudo_label", class_weight="balanced").fit(table, hidden)
    assert weighted.classes_.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="-1"):
        model("pseudo_label").fit(table, ids)
    assert model("ce").fit(table, hidden).classes_.tolist() == [-1, 0, 1, 2, 3]


def test_verbose_prints_notes_and_silence_is_silent(
    table: np.ndarray, ids: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    weight = (ids != 3).astype(float)
    model().fit(table, ids, sample_weight=weight)
    assert capsys.readouterr() == ("", "")
    model(verbose=1).fit(table, ids, sample_weight=weight)
    assert "weight above zero" in capsys.readouterr().err
