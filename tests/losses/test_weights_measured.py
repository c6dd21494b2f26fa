"""Weights that are measured: worked numbers, recorded runs, a second form in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from longtail.errors import ConfigError, DataError, UnknownNameError
from longtail.functional import difficulty_weights, effective_area
from longtail.losses import CrossEntropy, Deferred, Difficulty, EffectiveArea
from longtail.types import ClassStats

pytestmark = pytest.mark.usefixtures("untouched_randomness")

#: many: 0, 1; medium: 2, 3; few: 4, 5
COUNTS = [500, 200, 90, 40, 10, 3]
NAN = math.nan


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


# -- difficulty ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tau", "expected"),
    [
        ("dynamic", (0.214394, 0.857244, 1.928362)),
        ("dynamic_paper", (0.030707, 0.490284, 2.479008)),
        (1.5, (0.083333, 0.666667, 2.250000)),
        (0.0, (1.0, 1.0, 1.0)),
    ],
)
def test_worked_difficulty(tau, expected):
    accuracy = 1 - f64([0.1, 0.4, 0.9])
    np.testing.assert_allclose(difficulty_weights(accuracy, tau), expected, atol=1e-6)
    weight = Difficulty(tau, class_counts=[100, 10, 1])
    assert weight().tolist() == [1, 1, 1], "ones before anything is measured"
    weight.observe(accuracy)
    np.testing.assert_allclose(weight(), expected, atol=1e-6)


def test_recorded_cdb(golden):
    for case in golden("cdb"):
        x, out = case["inputs"], case["outputs"]
        weight = Difficulty(case["params"]["tau"])
        loss = CrossEntropy(weight=weight, class_counts=[4, 3, 2, 1])
        z, y = f64(x["logits"]).requires_grad_(), torch.tensor(x["target"])
        torch.testing.assert_close(loss(z, y), F.cross_entropy(z, y))
        weight.observe(1 - f64(x["class_difficulty"]))
        torch.testing.assert_close(weight(), f64(out["weights"]), rtol=1e-6, atol=1e-8)
        value = loss(z, y)
        value.backward()
        assert value.item() == pytest.approx(out["loss"], rel=1e-6)
        torch.testing.assert_close(z.grad, f64(out["grad_logits"]), rtol=1e-6, atol=1e-8)


def test_a_class_that_is_always_right_is_still_trained():
    """Published code gives it weight zero for the epoch."""
    weight = Difficulty(1.0, class_counts=[10, 5])
    weight.observe([1.0, 0.5])
    np.testing.assert_allclose(weight(), np.array([0.001, 0.5]) * 2 / 0.501)


def test_a_class_without_validation_rows_borrows_from_its_group():
    weight = Difficulty(1.0, class_counts=COUNTS)
    weight.observe([0.9, 0.7, NAN, 0.4, 0.2, NAN])
    d = np.array([0.1, 0.3, 0.6, 0.6, 0.8, 0.8])
    np.testing.assert_allclose(weight(), 6 * d / d.sum(), rtol=1e-12)
    weight.observe([0.9, 0.7, 0.5, 0.3, NAN, NAN])  # the group is unknown: all classes
    d = np.array([0.1, 0.3, 0.5, 0.7, 0.4, 0.4])
    np.testing.assert_allclose(weight(), 6 * d / d.sum(), rtol=1e-12)


def test_inertia_keeps_a_share_of_the_accuracies_before():
    weight = Difficulty(1.0, 0.5, class_counts=[10, 5])
    accuracy = np.zeros(2)
    for now in ([1.0, 0.2], [0.4, 0.6], [1.0, 0.0]):
        weight.observe(now)
        accuracy = 0.5 * accuracy + 0.5 * np.array(now)
        d = 1 - accuracy
        np.testing.assert_allclose(weight(), 2 * d / d.sum(), rtol=1e-12)
    fresh = Difficulty(1.0, 0.5, class_counts=[10, 5])
    fresh.load_state_dict(weight.state_dict())
    for one in (weight, fresh):
        one.observe([0.3, 0.3])
    assert torch.equal(weight(), fresh())


def test_a_masked_class_weighs_nothing_and_has_no_say():
    weight = Difficulty("dynamic", class_counts=ClassStats((30, 0, 5), on_empty="ignore"))
    weight.observe([0.8, NAN, 0.4])
    tau = 1 / (1 + math.exp(-0.8 / 0.41))
    d = np.array([0.2, 0, 0.6]) ** tau
    np.testing.assert_allclose(weight(), 2 * d / d.sum(), rtol=1e-12)


def test_difficulty_refuses_what_is_no_accuracy():
    weight = Difficulty(class_counts=[3, 2])
    for bad in ([0.5], [0.5, 1.5], [-0.1, 0.5], [NAN, NAN]):
        with pytest.raises(DataError) as caught:
            weight.observe(bad)
        assert len(str(caught.value).splitlines()) == 2
    with pytest.raises(UnknownNameError, match="did you mean 'dynamic'"):
        Difficulty("dynamc")
    for tau in (-1.0, math.inf):
        with pytest.raises(ConfigError, match="tau must be finite and not negative"):
            Difficulty(tau)
    with pytest.raises(ConfigError, match=r"inertia must lie in \[0, 1\)"):
        Difficulty(inertia=1.0)


# -- effective area --------------------------------------------------------------------------------


def areas_by_matrix(features, labels, batch, means, power=2):
    """The matrix of cosines of every class in every batch, as the formula stands."""
    out = np.zeros(len(means))
    for b in np.unique(batch):
        for c in range(len(means)):
            x = features[(batch == b) & (labels == c)] - means[c]
            m = len(x)
            if m == 1:
                out[c] += 1
            elif m > 1:
                n = np.linalg.norm(x, axis=1)
                r = (x @ x.T) / np.outer(n, n)
                a = np.full(m, 1 / m)
                out[c] += 1 / max(a @ r @ a, 1 / m**power)  # worth at most m^2, or m
    return out


def test_recorded_area(golden):
    for case in golden("area"):
        steps = case["inputs"]["steps"]
        features = torch.cat([f64(s["features"]) for s in steps])
        labels = torch.cat([torch.tensor(s["target"]) for s in steps])
        sizes = torch.tensor([len(s["target"]) for s in steps])
        batch = torch.repeat_interleave(torch.arange(len(steps)), sizes)
        for cap in (True, False):
            found = effective_area(features, labels, batch, f64(case["inputs"]["class_means"]), cap=cap)  # fmt: skip
            expected = f64(case["outputs"]["effective_area"])
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
        weight = EffectiveArea(class_counts=[3, 2, 1])
        weight.observe(found)
        torch.testing.assert_close(weight(), f64(case["outputs"]["weights"]), rtol=1e-6, atol=1e-8)


def test_area_by_the_matrix_of_cosines():
    g = np.random.default_rng(3)
    labels = np.repeat(np.arange(4), (40, 17, 6, 2))[g.permutation(65)]
    features = g.normal(size=(65, 5)) + g.normal(size=(4, 5))[labels]
    means = np.stack([features[labels == c].mean(0) for c in range(4)])
    for size in (7, 16, 65):
        batch = np.arange(65) // size
        given = [torch.from_numpy(v) for v in (features, labels, batch, means)]
        for cap, power in ((False, 2), (True, 1)):
            expected = areas_by_matrix(features, labels, batch, means, power)
            np.testing.assert_allclose(effective_area(*given, cap=cap), expected, rtol=1e-9)


def test_uncorrelated_copies_and_opposites():
    same = torch.ones(4, 3, dtype=torch.float64)
    one, zero = torch.zeros(4, dtype=torch.int64), torch.zeros(1, 3, dtype=torch.float64)
    area = lambda x, means=zero, **o: float(effective_area(x, one[: len(x)], one[: len(x)], means, **o))  # noqa: E731  # fmt: skip
    assert area(same) == pytest.approx(1.0), "all point the same way"
    assert area(same, same[:1]) == 1.0, "copies are one sample"
    assert area(torch.eye(3).double()) == pytest.approx(3.0), "uncorrelated samples count"
    opposite = torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]]).double()
    assert area(opposite) == 4.0, "the published form has no bound here: no weight would follow"
    assert area(opposite, cap=True) == 2.0


def test_area_in_chunks_is_the_area(monkeypatch):
    g = torch.Generator().manual_seed(0)
    h, y = torch.randn(200, 6, generator=g), torch.randint(0, 3, (200,), generator=g)
    weight = EffectiveArea(batch=16, class_counts=[3, 2, 1])
    whole = weight.areas(h, y, 3)
    monkeypatch.setattr("longtail.losses.measured._CHUNK", 48)
    torch.testing.assert_close(weight.areas(h, y, 3), whole)
    means = np.stack([h.numpy()[y.numpy() == c].mean(0) for c in range(3)])
    expected = areas_by_matrix(h.numpy(), y.numpy(), np.arange(200) // 16, means)
    np.testing.assert_allclose(whole, expected, rtol=1e-4)


def test_area_refuses_a_class_that_was_not_met():
    weight = EffectiveArea(class_counts=[3, 2, 1])
    for bad in ([1.0, 2.0, 0.0], [1.0, 2.0], [1.0, NAN, 1.0]):
        with pytest.raises(DataError, match="effective areas must be 3 positive numbers"):
            weight.observe(bad)
    masked = EffectiveArea(class_counts=ClassStats((30, 0, 5), on_empty="ignore"))
    masked.observe([4.0, 0.0, 1.0])
    np.testing.assert_allclose(masked(), [0.4, 0, 1.6])
    with pytest.raises(ConfigError, match="a batch of 1 shows no correlation"):
        EffectiveArea(batch=1)
    with pytest.raises(ConfigError, match=r"after must lie in \[0, 1\)"):
        EffectiveArea(after=-0.1)


def test_measured_weights_are_written_in_place_and_can_be_deferred():
    inner = Difficulty(1.0, class_counts=[10, 5])
    weight = Deferred(inner, after=0.5, class_counts=[10, 5])
    place = inner.value.data_ptr()
    inner.observe([0.9, 0.6])
    assert inner.value.data_ptr() == place
    weight.set_epoch(0, 10)
    assert weight().tolist() == [1, 1]
    weight.set_epoch(5, 10)
    np.testing.assert_allclose(weight(), [0.4, 1.6])


def test_an_area_is_asked_of_classes_with_rows_only():
    weight = EffectiveArea(class_counts=ClassStats([40, 10, 0], on_empty="smooth"))
    weight.observe([30.0, 15.0, 0.0])
    torch.testing.assert_close(weight(), f64([2 / 3, 4 / 3, 1.0]))
    with pytest.raises(DataError, match="positive numbers"):
        weight.observe([30.0, 0.0, 1.0])
