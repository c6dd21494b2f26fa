"""Published profiles: counts and choice of samples."""

from __future__ import annotations

import numpy as np
import pytest

from longtail.data import profile_counts, select
from longtail.data.profiles import select_prefix
from longtail.errors import ConfigError, UnknownNameError

TABLE = {  # classes, largest, IF -> total, smallest
    (10, 5000, 200): (11203, 25),
    (10, 5000, 100): (12406, 50),
    (10, 5000, 50): (13996, 100),
    (10, 5000, 10): (20431, 500),
    (100, 500, 200): (9502, 2),
    (100, 500, 100): (10847, 5),
    (100, 500, 50): (12608, 10),
    (100, 500, 10): (19573, 50),
}


@pytest.mark.parametrize(("key", "expected"), TABLE.items())
def test_totals_of_the_published_profiles(key, expected):
    classes, largest, factor = key
    counts = profile_counts(largest, classes, imbalance_factor=factor)
    assert (int(counts.sum()), int(counts.min())) == expected
    assert counts.tolist() == sorted(counts.tolist(), reverse=True)


def test_step_profile():
    assert profile_counts(5000, 10, imbalance_factor=100, profile="step").sum() == 25250
    assert profile_counts(500, 100, imbalance_factor=10, profile="step").sum() == 27500
    with pytest.raises(ConfigError, match="even number"):
        profile_counts(10, 3, imbalance_factor=2, profile="step")


def test_recorded_counts(golden):
    for case in golden("cifar_lt_counts"):
        classes = len(case["outputs"]["counts"])
        factor = case["params"]["imbalance_factor"]
        counts = profile_counts(50_000 / classes, classes, imbalance_factor=factor)
        assert counts.tolist() == case["outputs"]["counts"]


def test_recorded_selection(golden, untouched_randomness):
    for case in golden("cifar_lt_selection"):
        labels = np.asarray(case["inputs"]["labels"])
        counts = profile_counts(
            len(labels) / 4, 4, imbalance_factor=case["params"]["imbalance_factor"]
        )
        assert counts.tolist() == case["class_counts"]
        chosen = select(labels, counts, seed=case["params"]["rand_number"])
        assert chosen.tolist() == case["outputs"]["selected_indices"]
        assert labels[chosen].tolist() == case["outputs"]["targets"]


def test_sets_nest_and_prefixes_follow_the_stored_order():
    labels = np.random.RandomState(3).randint(0, 4, 400)
    many = profile_counts(80, 4, imbalance_factor=5)
    few = profile_counts(80, 4, imbalance_factor=20)
    large, small = select(labels, many), select(labels, few)
    nested = large[select_prefix(labels[large], few)]
    assert nested.tolist() == small.tolist()


@pytest.mark.parametrize("factor", [0.5, 0, -1, float("nan"), float("inf")])
def test_factor_below_one_is_refused(factor):
    with pytest.raises(ConfigError, match="imbalance_factor"):
        profile_counts(100, 10, imbalance_factor=factor)


def test_empty_class_and_unknown_profile_are_refused():
    with pytest.raises(ConfigError, match="without a sample"):
        profile_counts(100, 10, imbalance_factor=101)
    with pytest.raises(UnknownNameError, match="exponential"):
        profile_counts(100, 10, imbalance_factor=10, profile="exponental")
    with pytest.raises(ConfigError, match="asks for 5"):
        select(np.zeros(3, dtype=np.int64), np.asarray([5]))
