"""Tables, images, texts and frames; labels of every kind; what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from longtail import LongTailClassifier
from longtail.errors import DataError


def model(**options: Any) -> LongTailClassifier:
    return LongTailClassifier(**{"epochs": 2, "random_state": 0, **options})


def test_all_kinds_predict_their_classes(inputs: dict[str, Any], labels: np.ndarray) -> None:
    for kind, X in inputs.items():
        fitted = model(epochs=4).fit(X, labels)
        assert fitted.input_spec_.kind == kind
        assert fitted.classes_.tolist() == ["a", "b", "c", "d"]
        proba, scores = fitted.predict_proba(X), fitted.decision_function(X)
        assert proba.shape == scores.shape == (64, 4)
        np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-9)
        np.testing.assert_array_equal(fitted.classes_[proba.argmax(1)], fitted.predict(X))
        np.testing.assert_array_equal(scores.argmax(1), proba.argmax(1))
        assert fitted.n_iter_ == 4


def test_binary_scores_are_one_dimensional(table: np.ndarray, ids: np.ndarray) -> None:
    fitted = model().fit(table, ids > 0)
    scores, proba = fitted.decision_function(table), fitted.predict_proba(table)
    assert scores.shape == (64,)
    np.testing.assert_allclose(1 / (1 + np.exp(-scores)), proba[:, 1], rtol=1e-6)
    np.testing.assert_array_equal(scores > 0, fitted.predict(table))


@pytest.mark.parametrize("rows", [np.float32, np.float64, np.int16, np.uint8, bool])
def test_number_types(rows: Any, table: np.ndarray, ids: np.ndarray) -> None:
    X = np.abs(4 * table).astype(rows)
    fitted = model().fit(X, ids)
    assert fitted.n_features_in_ == 5
    np.testing.assert_array_equal(fitted.predict_proba(X.tolist()), fitted.predict_proba(X))
    tensor = fitted.predict_proba(torch.as_tensor(X))
    np.testing.assert_array_equal(tensor, fitted.predict_proba(X))


def test_labels_of_every_kind(table: np.ndarray, ids: np.ndarray) -> None:
    names = np.array(["zebra", "10", "2", "Ä"])
    for labels in (ids * 7 - 3, ids.astype(float), names[ids], ids.tolist(), names[ids].tolist(),
                   names.astype(object)[ids], torch.as_tensor(ids), ids > 1):  # fmt: skip
        fitted = model(epochs=1).fit(table, labels)
        np.testing.assert_array_equal(fitted.classes_, np.unique(np.asarray(labels)))
        assert set(fitted.predict(table)) <= set(fitted.classes_)


def test_image_layouts_mean_the_same(images: np.ndarray, ids: np.ndarray) -> None:
    fitted = model().fit(images, ids)
    expected = fitted.predict_proba(images)
    assert (fitted.n_features_in_, fitted.input_spec_.shape) == (64, (1, 8, 8))
    for same in (images[..., None], images[:, None], images / 255, images.astype(int),
                 torch.as_tensor(images), list(images)):  # fmt: skip
        np.testing.assert_allclose(fitted.predict_proba(same), expected, atol=1e-7)
    colour = np.repeat(images[..., None], 3, axis=3)
    first = model().fit(colour, ids).predict_proba(colour)
    last = model().fit(colour.transpose(0, 3, 1, 2), ids).predict_proba(colour)
    np.testing.assert_array_equal(first, last)


def test_text_containers(texts: list[str], ids: np.ndarray) -> None:
    fitted = model(epochs=4).fit(texts, ids)
    assert not hasattr(fitted, "n_features_in_")
    assert fitted.score(texts, ids) > 0.9
    for same in (tuple(texts), np.array(texts), np.array(texts, dtype=object)):
        np.testing.assert_array_equal(fitted.predict_proba(same), fitted.predict_proba(texts))
    with pytest.raises(DataError, match="text 1 is a int"):
        fitted.predict(["a", 3])
    with pytest.raises(DataError, match="single string"):
        fitted.predict("a text")


def frame(ids: np.ndarray, seed: int = 0) -> Any:
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(seed)
    colour = np.array(["red", "green", "blue", "black"])[ids]
    return pandas.DataFrame(
        {
            "size": rng.normal(size=len(ids)),
            "colour": colour,
            "grade": pandas.Categorical(rng.choice(["low", "high"], len(ids))),
            "used": rng.random(len(ids)) > 0.5,
            "count": rng.integers(0, 9, len(ids)),
        }
    )


def test_mixed_frames(ids: np.ndarray) -> None:
    data = frame(ids)
    fitted = model(epochs=10).fit(data, ids)
    assert fitted.feature_names_in_.tolist() == list(data.columns)
    assert fitted.n_features_in_ == 5
    kinds = [kind for _, kind, _ in fitted.input_spec_.columns]
    assert kinds == ["numeric", "category", "category", "numeric", "numeric"]
    assert fitted.score(data, ids) > 0.9
    unseen = data.assign(colour="violet")
    assert np.isfinite(fitted.predict_proba(unseen)).all()
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(data[["colour", "size", "grade", "used", "count"]])
    with pytest.raises(ValueError, match="missing"):
        fitted.predict(data.assign(size=np.nan))


def test_numeric_frames_equal_arrays(table: np.ndarray, ids: np.ndarray) -> None:
    pandas = pytest.importorskip("pandas")
    data = pandas.DataFrame(table, columns=list("abcde"))
    fitted = model().fit(data, pandas.Series(ids))
    assert fitted.feature_names_in_.tolist() == list("abcde")
    assert [name for name, _, _ in fitted.input_spec_.columns] == list("abcde")
    plain = model().fit(table, ids)
    np.testing.assert_array_equal(fitted.predict_proba(data), plain.predict_proba(table))
    assert not hasattr(fitted.fit(table, ids), "feature_names_in_")
    with pytest.raises(ValueError, match="X has 4 features"):
        fitted.predict(table[:, :4])


def test_arrays_of_words_and_series_of_texts(ids: np.ndarray, texts: list[str]) -> None:
    pandas = pytest.importorskip("pandas")
    words = np.column_stack([np.array(["x", "y", "z", "w"])[ids], ids.astype(str)])
    mixed = words.astype(object)
    mixed[:, 1] = ids
    for X in (words, mixed, mixed.tolist()):
        assert model(epochs=10).fit(X, ids).score(X, ids) > 0.9
    series = pandas.Series(texts)
    fitted = model().fit(series, ids)
    np.testing.assert_array_equal(fitted.predict_proba(series), fitted.predict_proba(texts))


def test_refit_on_another_kind_starts_afresh(inputs: dict[str, Any], ids: np.ndarray) -> None:
    fitted = model(epochs=1)
    for X in (inputs["table"], inputs["text"], inputs["image"], inputs["table"]):
        fitted.fit(X, ids)
        fresh = model(epochs=1).fit(X, ids)
        np.testing.assert_array_equal(fitted.predict_proba(X), fresh.predict_proba(X))
        assert set(vars(fitted)) == set(vars(fresh))


def test_small_and_odd_tables() -> None:
    two = model().fit([[0.0], [1.0]], ["no", "yes"])
    assert two.predict_proba([[0.5]]).shape == (1, 2)
    constant = np.zeros((6, 3))
    assert np.isfinite(model().fit(constant, [0, 0, 0, 0, 1, 2]).predict_proba(constant)).all()
    wide = np.random.default_rng(0).normal(size=(5, 300))
    assert model().fit(wide, [0, 1, 2, 3, 4]).n_iter_ == 2


def test_rows_do_not_depend_on_their_batch(table: np.ndarray, ids: np.ndarray) -> None:
    fitted = model().fit(table, ids)
    whole = fitted.decision_function(table)
    single = np.concatenate([fitted.decision_function(row[None]) for row in table])
    np.testing.assert_allclose(single, whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("X", "y", "match"),
    [
        ([[0.0, np.nan], [1.0, 2.0]], [0, 1], "NaN"),
        ([[0.0, np.inf], [1.0, 2.0]], [0, 1], "infinity"),
        ([[0.0], [1.0]], [0, 0], "class"),
        ([[0.0], [1.0]], [0, 1, 1], "inconsistent"),
        ([0.0, 1.0], [0, 1], "2D array"),
        ([[0.0], [1.0]], [0.5, 1.2], "Unknown label type"),
        ([[0.0], [1.0]], [[0, 1], [1, 0]], "1d array"),
        ([[0.0], [1.0]], [0, np.nan], "NaN"),
        ([[0.0], [1.0]], None, "requires y to be passed"),
        (np.zeros((0, 3)), [], "0 sample"),
        (np.zeros((2, 0)), [0, 1], "0 feature"),
        ([[1.0, 2.0], [1.0]], [0, 1], "different shapes"),
        (np.zeros((2, 8, 8)) + 300, [0, 1], "image values"),
        (np.full((2, 8, 8), np.nan), [0, 1], "image values"),
        (np.zeros((2, 8, 8, 4), np.uint8), [0, 1], "1 or 3 channels"),
        (np.zeros((0, 8, 8), np.uint8), [], "no images"),
        ([Path("a.png"), Path("b.png")], [0, 1], "files are not read"),
        (np.zeros((2, 2, 2, 2, 2)), [0, 1], "dim 5"),
    ],
)
def test_bad_data_is_named(X: Any, y: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        model(epochs=1).fit(X, y)


def test_sparse_and_wrong_image_sizes_are_refused(
    table: np.ndarray, images: np.ndarray, ids: np.ndarray
) -> None:
    with pytest.raises(TypeError, match="Sparse data"):
        model().fit(csr_matrix(table), ids)
    fitted = model(epochs=1).fit(images, ids)
    with pytest.raises(DataError, match=r"\(1, 6, 8\)"):
        fitted.predict(images[:, :6])
