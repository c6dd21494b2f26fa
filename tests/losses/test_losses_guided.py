"""Losses guided by gradients, influence and uncertainty: worked numbers, recorded runs, NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from longtail import create
from longtail.errors import ConfigError, DataError, UnknownNameError
from longtail.functional import equalizing_weights, influence_balanced
from longtail.losses import (
    Deferred,
    EqualizedV2,
    InfluenceBalanced,
    InverseFrequency,
    UncertaintyMargin,
)

pytestmark = pytest.mark.usefixtures("untouched_randomness")

N = [100, 10, 1]
Z = torch.tensor([[2.0, 1.0, 0.5]], dtype=torch.float64).expand(3, 3)
H = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64).expand(3, 3)
COS = torch.tensor([[0.5, 0.3, 0.1]], dtype=torch.float64).expand(3, 3)
Y = torch.arange(3)


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


def random_rows(seed=0, rows=9, classes=4, width=5):
    g = np.random.default_rng(seed)
    y = g.integers(0, classes, rows)
    y[:classes] = np.arange(classes)
    return g.normal(size=(rows, classes)), y, g.normal(size=(rows, width))


# -- equalization loss v2 --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "negative", "positive"),
    [
        (100.0, 1.0, 1.0),
        (0.8, 0.5, 3.0),
        (0.2, 0.000746, 4.997016),
        (0.0, 0.000068, 4.999729),
    ],
)
def test_worked_equalizing_weights(ratio, negative, positive):
    found = equalizing_weights(f64([ratio]))
    np.testing.assert_allclose([float(w) for w in found], [negative, positive], atol=1e-6)


def test_recorded_eqlv2(golden):
    """One object, three steps. The recorded layout has an objectness column that stands apart."""
    for case in golden("eqlv2"):
        p = case["params"]
        steps, expected = case["inputs"]["steps"], case["outputs"]["steps"]
        classes = len(steps[0]["logits"][0]) - 1
        loss = EqualizedV2(p["gamma"], p["mu"], p["alpha"], class_counts=[1] * classes)
        assert len(steps) == p["sequential_steps"] == 3
        for step, out in zip(steps, expected, strict=True):
            z = f64(step["logits"]).requires_grad_()
            hot = F.one_hot(torch.tensor(step["target"]), classes + 1).double()
            apart = F.binary_cross_entropy_with_logits(z[:, -1], hot[:, -1])
            value = loss(z[:, :-1], hot[:, :-1]) + apart
            value.backward()
            assert value.item() == pytest.approx(out["loss"], rel=1e-6)
            torch.testing.assert_close(z.grad, f64(out["grad_logits"]), rtol=1e-6, atol=1e-8)
            for mine, name in (
                (loss.positive, "pos_grad"),
                (loss.negative, "neg_grad"),
                (loss.ratio(), "pos_neg"),
            ):
                torch.testing.assert_close(mine, f64(out[name]), rtol=1e-6, atol=1e-8)


def numpy_eqlv2(steps, gamma=12.0, mu=0.8, alpha=4.0):
    """Row by row and class by class; yields value, gradient and state of each step."""
    classes = steps[0][0].shape[1]
    own, other = np.zeros(classes), np.zeros(classes)
    for number, (z, y) in enumerate(steps):
        ratio = np.full(classes, 100.0) if number == 0 else own / (other + 1e-10)
        value, grad = 0.0, np.zeros_like(z)
        more_own, more_other = np.zeros(classes), np.zeros(classes)
        for i, row in enumerate(z):
            for j, score in enumerate(row):
                s = 1 / (1 + math.exp(-score))
                f = 1 / (1 + math.exp(-gamma * (ratio[j] - mu)))
                w = 1 + alpha * (1 - f) if y[i] == j else f
                value -= w * math.log(s if y[i] == j else 1 - s) / len(z)
                grad[i, j] = w * (s - (y[i] == j)) / len(z)
                if y[i] == j:
                    more_own[j] += w * (1 - s)
                else:
                    more_other[j] += w * s
        own, other = own + more_own, other + more_other
        yield value, grad, own, other


@pytest.mark.parametrize("options", [{}, {"gamma": 3.0, "mu": 0.4, "alpha": 1.5}])
def test_eqlv2_in_numpy(options):
    steps = [random_rows(seed)[:2] for seed in range(4)]
    loss = EqualizedV2(**options, class_counts=[5, 4, 3, 2])
    for (z, y), (value, grad, own, other) in zip(steps, numpy_eqlv2(steps, **options), strict=True):
        logits = f64(z.tolist()).requires_grad_()
        got = loss(logits, torch.from_numpy(y))
        got.backward()
        np.testing.assert_allclose(got.item(), value, rtol=1e-12)
        np.testing.assert_allclose(logits.grad, grad, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(loss.positive, own, rtol=1e-12)
        np.testing.assert_allclose(loss.negative, other, rtol=1e-12)


def test_eqlv2_a_class_not_yet_seen_hears_no_negatives():
    loss = EqualizedV2(class_counts=[5, 4, 3])
    loss(Z[:2], torch.tensor([0, 1]))
    negative, positive = loss.weights()
    assert loss.ratio()[2] == 0
    assert (float(negative[2]), float(positive[2])) == pytest.approx((0.000068, 4.999729), abs=1e-6)


def test_eqlv2_several_labels_and_none():
    z, q = random_rows()[0][:3], np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0.0]])
    loss = EqualizedV2(class_counts=[5, 4, 3, 2], reduction="none")
    found = loss(torch.from_numpy(z), torch.from_numpy(q))
    plain = F.binary_cross_entropy_with_logits(torch.from_numpy(z), torch.from_numpy(q), reduction="none")  # fmt: skip
    torch.testing.assert_close(found, plain.sum(1))  # all weights are one before the first step
    s = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(loss.positive, (q * (1 - s)).sum(0), rtol=1e-8)
    np.testing.assert_allclose(loss.negative, ((1 - q) * s).sum(0), rtol=1e-8)


def test_eqlv2_sample_weights_and_half_precision_reach_the_state():
    z, y, _ = random_rows()
    z, y = torch.from_numpy(z), torch.from_numpy(y)
    twice = EqualizedV2(class_counts=[5, 4, 3, 2])
    twice(z, y, sample_weight=torch.full((len(y),), 2.0))
    once = EqualizedV2(class_counts=[5, 4, 3, 2])
    once(z, y)
    torch.testing.assert_close(twice.positive, 2 * once.positive)
    torch.testing.assert_close(twice.negative, 2 * once.negative)
    low = EqualizedV2(class_counts=[5, 4, 3, 2])
    low(torch.full((2, 4), 6e4, dtype=torch.float16), torch.tensor([0, 1]))
    low(torch.full((2, 4), -6e4, dtype=torch.float16), torch.tensor([0, 1]))
    assert torch.isfinite(low.ratio()).all()
    assert low.positive.dtype == torch.float64


# -- influence-balanced loss -----------------------------------------------------------------------


def test_worked_influence_balanced():
    loss = InfluenceBalanced(after=0.0, reduction="none")
    rows = loss(Z, Y, features=H)
    np.testing.assert_allclose(rows, [178.515634, 272.064485, 326.345633], atol=1e-5)
    ce = F.cross_entropy(Z, Y, reduction="none")
    np.testing.assert_allclose(rows / ce, [384.426429, 185.789596, 166.132569], atol=1e-5)
    weighted = InfluenceBalanced(
        after=0.0, reduction="none", weight=InverseFrequency(), class_counts=N
    )
    np.testing.assert_allclose(
        weighted(Z, Y, features=H), [4.824747, 73.530942, 882.015225], atol=1e-5
    )


@pytest.mark.parametrize("name", ["ib", "ib_focal"])
def test_recorded_influence_balanced(golden, name):
    seen = 0
    for case in golden(name):
        p, x, out = case["params"], case["inputs"], case["outputs"]
        if name == "ib_focal" and p["class_weight"] is not None:
            continue  # there the class weight enters the modulator
        loss = InfluenceBalanced(
            p["alpha"],
            p["epsilon"],
            0.0,
            gamma=p.get("gamma", 0.0),
            detach_weight=p["detach_weight"],
            weight=p["class_weight"],
        )
        z, h = f64(x["logits"]).requires_grad_(), f64(x["features"]).requires_grad_()
        value = loss(z, torch.tensor(x["target"]), features=h)
        value.backward()
        assert value.item() == pytest.approx(out["loss"], rel=1e-6)
        torch.testing.assert_close(z.grad, f64(out["grad_logits"]), rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(h.grad, f64(out["grad_features"]), rtol=1e-6, atol=1e-8)
        seen += 1
    assert seen >= 1


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_influence_balanced_in_numpy(gamma):
    """The weight is a factor: the gradient is that of the (focal) loss, scaled; none in ``h``."""
    z, y, h = random_rows()
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    hot = np.eye(4)[y]
    factor = 50.0 / (np.abs(p - hot).sum(1) * np.abs(h).sum(1) + 0.01)
    own = p[np.arange(len(y)), y]
    modulator, ce = (1 - own) ** gamma, -np.log(own)
    value = (factor * modulator * ce).mean()
    slope = factor * (modulator + gamma * (1 - own) ** (gamma - 1) * own * ce)
    grad = slope[:, None] * (p - hot) / len(y)
    logits, features = f64(z.tolist()).requires_grad_(), f64(h.tolist()).requires_grad_()
    loss = InfluenceBalanced(50.0, 0.01, 0.0, gamma=gamma)
    got = loss(logits, torch.from_numpy(y), features=features)
    got.backward()
    np.testing.assert_allclose(got.item(), value, rtol=1e-12)
    np.testing.assert_allclose(logits.grad, grad, rtol=1e-10)
    assert features.grad is None
    rows = influence_balanced(logits, torch.from_numpy(y), features, alpha=50.0, epsilon=0.01, gamma=gamma)  # fmt: skip
    np.testing.assert_allclose(rows.detach().mean(), value, rtol=1e-12)


def test_influence_balanced_is_cross_entropy_first():
    loss = InfluenceBalanced(weight=Deferred(InverseFrequency(), after=0.5), class_counts=N)
    for epochs, start in ((200, 100), (7, 3), (2, 1)):
        for epoch in range(epochs):
            loss.set_epoch(epoch, epochs)
            got = loss(Z, Y, features=H)
            plain = torch.isclose(got, F.cross_entropy(Z, Y))
            assert bool(plain) == (epoch < start), (epochs, epoch)


def test_influence_of_what_does_not_move_anything_is_finite():
    loss = InfluenceBalanced(after=0.0)
    z = torch.tensor([[200.0, 0.0]], requires_grad=True)
    value = loss(z, torch.tensor([0]), features=torch.zeros(1, 3))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(z.grad).all()


def test_features_are_needed_and_must_fit():
    loss = InfluenceBalanced(after=0.0)
    with pytest.raises(DataError, match="reads the input of the head") as caught:
        loss(Z, Y)
    assert len(str(caught.value).splitlines()) == 2
    with pytest.raises(DataError, match=r"features of shape \(2, 3\) do not fit 3 rows"):
        loss(Z, Y, features=H[:2])
    with pytest.raises(DataError, match="do not fit 3 rows"):
        loss(Z, Y, features=H[0])


# -- uncertainty margins ---------------------------------------------------------------------------


def angular_by_cases(cosine, m):
    """The continuation of the cosine, written for each half turn."""
    angle = m * math.acos(cosine)
    if angle <= math.pi:
        return math.cos(angle)
    return -math.cos(angle) - 2 if angle <= 2 * math.pi else math.cos(angle) - 4


@pytest.mark.parametrize("form", ["angular", "additive"])
def test_uncertainty_margin_in_numpy(form):
    g = np.random.default_rng(1)
    cos, y = g.uniform(-0.99, 0.99, (40, 4)), g.integers(0, 4, 40)
    u = np.array([0.02, 0.1, 0.07, 0.05])
    loss = UncertaintyMargin(0.9, 10.0, form=form, class_counts=[9, 5, 3, 2])
    loss.observe(u)
    m = 0.9 * u / 0.1
    turned = 0
    value = 0.0
    for row, label in zip(cos, y, strict=True):
        z = 10 * row
        own = (
            angular_by_cases(row[label], 1 + m[label])
            if form == "angular"
            else row[label] - m[label]
        )
        turned += (1 + m[label]) * math.acos(row[label]) > math.pi
        z = np.where(np.arange(4) == label, 10 * own, z)
        value += (math.log(np.exp(z - z.max()).sum()) + z.max() - z[label]) / 40
    got = loss(10 * torch.from_numpy(cos), torch.from_numpy(y))
    np.testing.assert_allclose(got, value, rtol=1e-10)
    assert turned >= 5, "rows beyond half a turn are there"


@pytest.mark.parametrize("form", ["angular", "additive"])
def test_uncertainty_margin_gradient(form):
    loss = UncertaintyMargin(0.9, 10.0, form=form, class_counts=[9, 5, 3])
    z = (10 * COS * f64([[1.0], [-1.7], [0.3]])).clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, Y), (z,))


def test_angular_margins_fall_with_the_angle_and_one_is_the_cosine():
    from longtail.functional.guided import angular

    cos = torch.linspace(-0.9999, 0.9999, 2001, dtype=torch.float64)
    torch.testing.assert_close(angular(cos, f64(1.0)), cos)
    for m in (1.2, 1.5, 2.0):
        assert bool((angular(cos, f64(m)).diff() > 0).all())
        assert bool((angular(cos, f64(m)) <= cos + 1e-12).all())


def test_uncertainty_margins_before_and_after_the_first_measurement():
    loss = UncertaintyMargin(0.5, class_counts=N)
    np.testing.assert_allclose(loss.margins(), [0.05, 0.5 / math.sqrt(10), 0.5])
    place = loss.uncertainty.data_ptr()
    loss.observe([0.3, 0.1, 0.2])
    np.testing.assert_allclose(loss.margins(), [0.5, 0.5 / 3, 1 / 3])
    assert loss.uncertainty.data_ptr() == place, "replaced, not written in place"
    loss.observe([0.0, 0.0, 0.0])
    torch.testing.assert_close(loss(30 * COS, Y), F.cross_entropy(30 * COS, Y))
    for bad in ([0.1, 0.2], [0.1, -0.2, 0.3], [0.1, math.nan, 0.3]):
        with pytest.raises(DataError, match="uncertainties must be 3 finite numbers"):
            loss.observe(bad)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("eqlv2", {"gamma": 0.0}, "gamma must be finite and greater than 0"),
        ("eqlv2", {"alpha": -1.0}, "alpha must be finite and at least 0"),
        ("eqlv2", {"mu": math.inf}, "mu must be finite"),
        ("influence_balanced", {"alpha": 0.0}, "alpha must be finite and greater than 0"),
        ("influence_balanced", {"epsilon": 0.0}, "epsilon must be finite and greater"),
        ("influence_balanced", {"after": 1.5}, r"after must lie in \[0, 1\)"),
        ("influence_balanced", {"gamma": -1.0}, "gamma must be finite and at least 0"),
        ("uncertainty_margin", {"margin": -0.1}, "margin must be finite and at least 0"),
        ("uncertainty_margin", {"margin": 1.5}, "margin 1.5 is over 1"),
        ("uncertainty_margin", {"scale": 0.0}, "scale must be finite and greater than 0"),
    ],
)
def test_values_out_of_range(name, options, said):
    with pytest.raises(ConfigError, match=said) as caught:
        create("loss", name, **options)
    assert len(str(caught.value).splitlines()) == 2


def test_an_unknown_form_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="angular"):
        UncertaintyMargin(form="angle")
