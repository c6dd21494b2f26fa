"""Metrics from predicted labels alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import recall_score

from longtail.errors import DataError
from longtail.metrics import Accumulator, label_counts, label_metrics
from longtail.metrics import labels as module
from longtail.types import ClassStats


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_recall_is_scikit_learns(dtype, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 100)
    rng = np.random.default_rng(0)
    target = rng.integers(0, 20, 1234).astype(dtype)
    prediction = np.where(rng.random(1234) < 0.5, target, rng.integers(0, 20, 1234)).astype(dtype)
    stats = ClassStats(rng.integers(1, 300, 20).tolist())
    found = label_metrics(prediction, target, stats)
    want = recall_score(target, prediction, average=None)
    np.testing.assert_allclose(found["per_class"], want, rtol=1e-12)
    right, total = label_counts(torch.tensor(prediction.astype(np.int64)), target.tolist(), 20)
    np.testing.assert_array_equal(total, np.bincount(target, minlength=20))
    np.testing.assert_array_equal(right, np.bincount(target[target == prediction], minlength=20))


def test_it_says_what_the_accumulator_says():
    rng = np.random.default_rng(1)
    counts = [400, 150, 60, 30, 12, 3, 90]
    target = rng.integers(0, 6, 500)  # the last class has no row
    target[7] = -100
    z = torch.tensor(rng.normal(size=(500, 7)))
    sums = Accumulator(7)
    sums.update(z, torch.tensor(target))
    want = sums.compute(ClassStats(counts))
    found = label_metrics(z.argmax(1), target, ClassStats(counts))
    for key in ("n", "accuracy", "balanced_accuracy", "many", "medium", "few"):
        assert found[key] == pytest.approx(want[key]), key
    assert found["test_counts"].tolist() == want["test_counts"]
    assert np.isnan(found["per_class"][6])
    assert found["per_class"][:6].tolist() == pytest.approx(want["per_class"][:6])
    only = label_metrics([0, 0], [0, 1], ClassStats(counts))
    assert (only["few"], only["many"]) == (None, 0.5)
    assert label_metrics(np.zeros(0, int), np.zeros(0, int), ClassStats(counts))["accuracy"] is None


def test_labels_that_do_not_fit_are_refused():
    for target, said in (([0, 7], "1 rows"), ([-1, -2], "2 rows"), ([-100, 9], "1 rows")):
        with pytest.raises(DataError, match=f"{said} have a label outside"):
            label_counts([0, 1], target, 3)
    with pytest.raises(DataError, match="2 predictions for 3 labels"):
        label_counts([0, 1], [0, 1, 2], 3)
    with pytest.raises(DataError, match="the prediction has dtype float64"):
        label_counts([0.5, 1.0], [0, 1], 3)
    right, total = label_counts([9, 1], [0, 1], 3)  # a prediction of no class is wrong
    assert (right.tolist(), total.tolist()) == ([0, 1, 0], [1, 1, 0])


def test_the_likelihood_stays_exact_where_the_probability_underflows():
    sums = Accumulator(3)
    sums.update(torch.tensor([[1e4, 0.0, -1e4], [0.0, 200.0, 0.0]]), torch.tensor([2, 0]))
    found = sums.compute(ClassStats([5, 4, 3]))
    assert found["nll"] == pytest.approx((2e4 + 200) / 2)
    assert found["brier"] == pytest.approx(2.0)
