"""What metrics refuse by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from longtail.errors import ConfigError, DataError
from longtail.metrics import (
    NLL,
    Accumulator,
    compare,
    confused_pairs,
    ece,
    ece_debiased,
    ece_mass,
    intervals,
    intervals_from_counts,
    label_counts,
    mdd,
    noise_floor,
    paired,
    reliability,
    required_test_per_class,
    seed_row_variance,
    shape,
    wilson,
)
from longtail.types import ClassStats

CONF, OK = [0.9, 0.8, 0.4], [1, 0, 1]
STATS = ClassStats([90, 30, 3])
Y = torch.tensor([0, 1, 2, 0])
P = torch.tensor([[3.0, 0, 0], [0, 2, 0], [0, 0, 1], [0, 1, 0]]).softmax(1)


def two_lines(kind, match, call, *args, **options):
    with pytest.raises(kind, match=match) as caught:
        call(*args, **options)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("bins", [0, -3, 2.5, None, "15", True])
def test_bins(bins):
    for compute in (ece, ece_mass, ece_debiased, reliability):
        two_lines(ConfigError, "bins must be a whole number", compute, CONF, OK, bins=bins)
    two_lines(ConfigError, "bins must be a whole number", Accumulator, 3, bins)
    two_lines(ConfigError, "bins must be a whole number", NLL, class_counts=[3, 2], bins=bins)


def test_calibration_of_what_is_no_number():
    for compute in (ece, ece_mass, ece_debiased, reliability):
        two_lines(DataError, "confidences must be numbers", compute, ["a"], [1])
        two_lines(DataError, "correct must be numbers", compute, [0.5], [None, [1]])
        two_lines(DataError, r"correct must lie in \[0, 1\]", compute, CONF, [1, 2, 0])
        two_lines(DataError, r"correct must lie in \[0, 1\]", compute, CONF, [1, float("nan"), 0])
    for power in (0, -1, float("inf"), "2"):
        two_lines(ConfigError, "power", ece_mass, CONF, OK, power=power)


def test_noise_floor():
    for draws in (0, -1, 1.5):
        two_lines(ConfigError, "draws", noise_floor, [3], [2.0], draws=draws)
    two_lines(ConfigError, "seed", noise_floor, [3], [2.0], seed=-1)
    for count, confidence in (([0, 0], [0, 0]), ([3], [4.0]), ([3, 1], [2]), ([-1, 3], [0, 1])):
        two_lines(DataError, "no bins of rows", noise_floor, count, confidence)


@pytest.mark.parametrize("level", [1.5, 1, 0, -0.1, float("nan"), "95", None])
def test_levels(level):
    two_lines(ConfigError, "level must lie between", intervals, [0, 1], [1, 0], STATS, level=level)
    two_lines(ConfigError, "level", intervals_from_counts, [1, 0, 1], [1, 1, 1], STATS, level=level)
    two_lines(ConfigError, "level", wilson, 1, 2, level=level)
    two_lines(ConfigError, "level", mdd, [5, 5], level=level)
    two_lines(ConfigError, "power", mdd, [5, 5], power=level)
    two_lines(ConfigError, "power", required_test_per_class, 0.1, 5, power=level)
    rows = np.ones((1, 2))
    two_lines(ConfigError, "level", paired, rows, rows, np.array([0, 1]), STATS, level=level)


@pytest.mark.parametrize("draws", [0, -1, 2.5])
def test_draws(draws):
    two_lines(ConfigError, "draws", intervals, [0, 1], [1, 0], STATS, draws=draws)
    two_lines(ConfigError, "draws", intervals_from_counts, [1, 0, 1], [1] * 3, STATS, draws=draws)
    rows = np.ones((1, 2))
    two_lines(ConfigError, "draws", paired, rows, rows, np.array([0, 1]), STATS, draws=draws)


def test_rows_of_intervals_and_comparisons():
    for target, correct, what in (
        ([0.5, 1], [1, 0], "whole numbers"),
        ([[0, 1]], [[1, 0]], "whole numbers"),
        ([0, 1], [1], "correct"),
        ([0, 1], [1, 2], "correct"),
        ([0, 1], [1, float("nan")], "correct"),
        ([0, 1], ["a", "b"], "correct must be numbers"),
    ):
        two_lines(DataError, what, intervals, target, correct, STATS)
    two_lines(DataError, "do not fit", intervals_from_counts, [1, float("nan"), 1], [2] * 3, STATS)
    two_lines(
        DataError, "do not fit", paired, np.ones((1, 2)), np.ones((1, 3)), np.array([0, 1]), STATS
    )
    good = {"ids": ["a", "b"], "target": [0, 1], "prediction": [0, 2]}
    for change, what in (
        ({"target": [0]}, "2 ids, 1 targets"),
        ({"prediction": [0.5, 1]}, "whole numbers"),
    ):
        two_lines(DataError, what, compare, [good], [{**good, **change}], STATS)
    two_lines(DataError, "has no 'prediction'", compare, [good], [{"ids": [], "target": []}], STATS)
    two_lines(DataError, "predictions for", confused_pairs, [0, 1], [0])
    two_lines(DataError, "ids under 0", confused_pairs, [0, -100], [0, 1])
    two_lines(DataError, "3 names", confused_pairs, [0, 3], [1, 0], names="abc")
    two_lines(DataError, "the prediction", label_counts, [[0], [0, 1]], [0, 1], 2)
    two_lines(DataError, "not finite", seed_row_variance, [[1, 2], [3, float("nan")]])
    two_lines(DataError, "must be numbers", shape, ["many", "few"])


def test_test_sets_that_show_nothing():
    two_lines(DataError, "discordance", mdd, [5, 5], discordance=[0.1, 0.2, 0.3])
    two_lines(DataError, "discordance", mdd, [5, 5], discordance=-0.1)
    two_lines(ConfigError, "variance", mdd, [5, 5], seed_variance=-1.0)
    two_lines(DataError, "test rows", mdd, [5, float("nan")])
    two_lines(ConfigError, "num_classes", required_test_per_class, 0.1, 0)
    two_lines(DataError, "difference of nan", required_test_per_class, float("nan"), 5)


def test_probabilities_that_are_none():
    for rows, count in ((torch.randn(4, 3), 4), (P * torch.tensor([[1.001], [1], [1], [1]]), 1)):
        metrics = Accumulator(3, input="proba")
        metrics.update(rows, Y)
        two_lines(DataError, f"probabilities of {count} rows", metrics.compute, STATS)
        two_lines(DataError, f"probabilities of {count} rows", metrics.counts)
    signed = torch.tensor([[1.2, -0.2, 0.0]])
    metrics = Accumulator(3, input="proba").merge(metrics)
    two_lines(DataError, "probabilities of 1 rows", metrics.compute, STATS)
    metrics.reset()
    metrics.update(P, Y)
    metrics.update(signed, torch.tensor([-100]))  # a row that does not count
    assert metrics.compute(STATS)["n"] == 4
    metrics.update(signed, torch.tensor([0]))
    two_lines(DataError, "probabilities of 1 rows", metrics.compute, STATS)


def test_probabilities_at_the_floor():
    metrics = Accumulator(3, input="proba")
    for _ in range(40):
        metrics.update(P, Y)
    metrics.update(torch.eye(3)[:1], torch.tensor([1]))
    assert metrics.compute(STATS)["n"] == 161  # one in 161 is let pass
    metrics.update(torch.eye(3)[:1], torch.tensor([1]))
    with pytest.warns(UserWarning, match="2 of 162 labels have a probability under 1e-12"):
        found = metrics.compute(STATS)
    assert np.isfinite(found["nll"])


def test_targets_that_are_no_class_ids():
    two_lines(DataError, "class ids", Accumulator(3).update, P, Y.double())
    two_lines(DataError, "class ids", Accumulator(3).update, P, Y[:, None])
    two_lines(DataError, "class ids", Accumulator(3).update, P, Y.to(torch.complex64))
    two_lines(DataError, "give tensors", Accumulator(3).update, P.numpy(), Y.numpy())
    two_lines(ConfigError, "num_classes", Accumulator, 1)
    two_lines(ConfigError, "worst", Accumulator(3).compute, STATS, worst=-1)
