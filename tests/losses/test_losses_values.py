"""Values of the losses: the worked numbers of the specification, recorded runs, NumPy loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from longtail import create
from longtail.losses import (
    LDAM,
    BalancedSoftmax,
    BceOnSoftmax,
    CrossEntropy,
    Deferred,
    EffectiveNumber,
    Focal,
    InverseFrequency,
    LogitAdjusted,
)
from longtail.registry import part

pytestmark = pytest.mark.usefixtures("untouched_randomness")

N = [100, 10, 1]
Z = torch.tensor([[2.0, 1.0, 0.5]], dtype=torch.float64).expand(3, 3)
COS = torch.tensor([[0.5, 0.3, 0.1]], dtype=torch.float64).expand(3, 3)
Y = torch.arange(3)


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


CB = part("effective_number", beta=0.9999)
WORKED = [
    ("cross_entropy", {}, (0.464369, 1.464369, 1.964369)),
    ("cross_entropy", {"weight": CB}, (0.012612, 0.395920, 5.308652)),
    (
        "cross_entropy",
        {"weight": part("effective_number", beta=0.99)},
        (0.019614, 0.410087, 5.260027),
    ),
    ("bce_on_softmax", {"weight": CB}, (0.007952, 0.234839, 2.898506)),
    ("focal", {"gamma": 1.0}, (0.172498, 1.125772, 1.688877)),
    ("focal", {"gamma": 2.0}, (0.064078, 0.865466, 1.452022)),
    ("focal", {"gamma": 1.0, "form": "sigmoid"}, (1.581525, 2.563964, 3.012447)),
    ("focal", {"gamma": 2.0, "form": "sigmoid"}, (1.081083, 2.050148, 2.419520)),
    (
        "focal",
        {"gamma": 1.0, "form": "sigmoid", "weight": CB},
        (0.042952, 0.693216, 8.141054),
    ),
    ("balanced_softmax", {}, (0.038277, 3.340862, 6.143447)),
    ("la", {"tau": 1.0}, (0.038277, 3.340862, 6.143447)),
    ("la", {"tau": 0.5}, (0.129840, 2.281133, 3.932426)),
    ("la", {"tau": 1.5}, (0.011787, 4.465664, 8.419542)),
    ("la", {"tau": 2.0}, (0.003694, 5.608864, 10.714035)),
    ("ldam", {"scale": 30.0}, (0.251016, 14.435127, 27.002476)),
    ("ldam", {"scale": 10.0}, (0.557796, 4.837812, 9.127037)),
]


@pytest.mark.parametrize(("name", "options", "expected"), WORKED)
def test_worked_numbers(name, options, expected):
    loss = create("loss", name, class_counts=N, reduction="none", **options)
    logits = loss.scale * COS if name == "ldam" else Z
    np.testing.assert_allclose(loss(logits, Y), expected, atol=1e-6)
    onehot = torch.eye(3, dtype=torch.float64)
    np.testing.assert_allclose(loss(logits, onehot), expected, atol=1e-6)


def test_weighted_mean_is_not_mean():
    z, y, w = Z[:2], torch.tensor([0, 2]), InverseFrequency()
    weighted = CrossEntropy(weight=w, reduction="weighted_mean", class_counts=N)
    plain = CrossEntropy(weight=InverseFrequency(), reduction="mean", class_counts=N)
    assert weighted(z, y).item() == pytest.approx(1.949517, abs=1e-6)
    assert plain(z, y).item() == pytest.approx(2.660828, abs=1e-6)


def check(case, loss, key="logits", scale=1.0, rtol=1e-6):
    """Value and gradient of a recorded case."""
    z = f64(case["inputs"][key]).requires_grad_()
    value = loss(scale * z, torch.tensor(case["inputs"]["target"]))
    value.backward()
    assert value.item() == pytest.approx(case["outputs"]["loss"], rel=rtol, abs=1e-8)
    grad = f64(case["outputs"][f"grad_{key}"])
    torch.testing.assert_close(z.grad, grad, rtol=rtol, atol=1e-8)


def test_recorded_weighted_ce(golden):
    for case in golden("weighted_ce"):
        weight = InverseFrequency(case["params"]["rho"])
        counts = case["class_counts"]
        check(case, CrossEntropy(weight=weight, reduction="weighted_mean", class_counts=counts))


def test_recorded_class_balanced(golden):
    kinds = set()
    for case in golden("cb_loss"):
        variant, weight = case["params"]["variant"], EffectiveNumber(case["params"]["beta"])
        how = {"weight": weight, "class_counts": case["class_counts"]}
        loss = {
            "cb_ce": lambda how=how: CrossEntropy(**how),
            "cb_ce_weighted_mean": lambda how=how: CrossEntropy(reduction="weighted_mean", **how),
            "bce_on_softmax": lambda how=how: BceOnSoftmax(**how),
            "cb_sigmoid_sum_over_B": lambda how=how: Focal(0.0, form="sigmoid", **how),
        }[variant]()
        check(case, loss)
        kinds.add(variant)
    assert len(kinds) == 4


def test_recorded_focal(golden):
    seen = 0
    for case in golden("focal"):
        p = case["params"]
        if p.get("class_weights"):
            continue  # there the class weight enters the modulator
        form = "sigmoid" if p["form"].startswith("sigmoid") else "softmax"
        check(case, Focal(p["gamma"], form=form, detach_modulator=p["detach_modulator"]))
        seen += 1
    assert seen >= 3


def test_recorded_ldam(golden):
    seen = 0
    for case in golden("ldam"):
        p = case["params"]
        if "part" in p:
            continue
        weight = None
        if p["drw_epoch"] is not None:
            weight = Deferred(EffectiveNumber(p["beta"]), after=p["drw_start"] / 200)
        loss = LDAM(
            p["max_m"],
            float(p["s"]),
            weight=weight,
            reduction="weighted_mean",
            class_counts=case["class_counts"],
        )
        if weight is not None:
            loss.set_epoch(p["drw_epoch"], epochs=200)
        check(case, loss, "cosine", scale=p["s"])
        seen += 1
    assert seen


def test_recorded_adjusted(golden):
    for case in golden("balanced_softmax"):
        reduction = case["params"]["reduction"]
        check(case, BalancedSoftmax(reduction=reduction, class_counts=case["class_counts"]))
        rows = BalancedSoftmax(reduction="none", class_counts=case["class_counts"])
        got = rows(f64(case["inputs"]["logits"]), torch.tensor(case["inputs"]["target"]))
        np.testing.assert_allclose(got, case["outputs"]["per_sample"], rtol=1e-6)
    for case in golden("logit_adjustment"):
        if case["params"]["kind"] == "loss":
            loss = LogitAdjusted(case["params"]["tau"], class_counts=case["class_counts"])
            check(case, loss, rtol=1e-5)


def looped(name, z, y, n, options):
    """Loss of one row by plain arithmetic."""
    z, total = list(z), sum(n)
    if name in ("balanced_softmax", "la"):
        tau = options.get("tau", 1.0)
        z = [a + tau * math.log(m / total) for a, m in zip(z, n, strict=True)]
    if name == "ldam":
        z[y] -= options["scale"] * options["margin"] * (min(n) / n[y]) ** 0.25
    top = max(z)
    ce = math.log(sum(math.exp(a - top) for a in z)) + top - z[y]
    if name == "focal":
        return (1 - math.exp(-ce)) ** options["gamma"] * ce
    return ce


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cross_entropy", {}),
        ("focal", {"gamma": 0.5}),
        ("focal", {"gamma": 3.0}),
        ("balanced_softmax", {}),
        ("la", {"tau": 1.7}),
        ("ldam", {"margin": 0.4, "scale": 12.0}),
    ],
)
def test_against_a_loop(name, options):
    g = torch.Generator().manual_seed(1)
    z = 3 * torch.randn(20, 5, generator=g, dtype=torch.float64)
    y = torch.randint(0, 5, (20,), generator=g)
    n, v = [3, 400, 17, 58, 1], torch.rand(20, generator=g, dtype=torch.float64)
    rows = [looped(name, z[i].tolist(), int(y[i]), n, options) for i in range(20)]
    w = [m**-0.5 for m in n]
    w = [5 * a / sum(w) for a in w]
    own = np.array([w[int(c)] for c in y])
    how = {"class_counts": n, "weight": part("inverse_frequency", power=0.5), **options}
    for reduction, expected in (
        ("none", own * rows * v.numpy()),
        ("sum", (own * rows * v.numpy()).sum()),
        ("mean", (own * rows * v.numpy()).sum() / 20),
        ("weighted_mean", (own * rows * v.numpy()).sum() / (own * v.numpy()).sum()),
    ):
        loss = create("loss", name, reduction=reduction, **how)
        np.testing.assert_allclose(loss(z, y, sample_weight=v), expected, rtol=1e-9)
    q = torch.softmax(torch.randn(20, 5, generator=g, dtype=torch.float64), 1)
    every = np.array([[looped(name, a.tolist(), c, n, options) for c in range(5)] for a in z])
    loss = create("loss", name, reduction="none", **how)
    np.testing.assert_allclose(loss(z, q), (q.numpy() * np.array(w) * every).sum(1), rtol=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_cross_entropy_is_that_of_torch(shape, weighted, smoothing):
    g = torch.Generator().manual_seed(2)
    z = torch.randn(6, 4, *shape, generator=g)
    y = torch.randint(0, 4, (6, *shape), generator=g)
    y.view(-1)[::5] = -100
    w = torch.tensor([0.5, 2.0, 1.0, 0.0]) if weighted else None
    for ours, theirs in (("none", "none"), ("sum", "sum"), ("weighted_mean", "mean")):
        loss = CrossEntropy(weight=w, reduction=ours, label_smoothing=smoothing)
        expected = F.cross_entropy(z, y, weight=w, reduction=theirs, label_smoothing=smoothing)
        torch.testing.assert_close(loss(z, y), expected)
        ones = torch.ones(y.shape)  # the general path gives the same numbers
        torch.testing.assert_close(loss(z, y, sample_weight=ones), expected)
    loss = CrossEntropy(weight=w, label_smoothing=smoothing)
    total = F.cross_entropy(z, y, weight=w, reduction="sum", label_smoothing=smoothing)
    torch.testing.assert_close(loss(z, y), total / (y >= 0).sum())
    q = torch.softmax(torch.randn(6, 4, *shape, generator=g), 1)
    for reduction in ("none", "sum", "mean"):
        loss = CrossEntropy(weight=w, reduction=reduction, label_smoothing=smoothing)
        expected = F.cross_entropy(z, q, weight=w, reduction="none", label_smoothing=smoothing)
        expected = {"none": expected, "sum": expected.sum(), "mean": expected.mean()}[reduction]
        torch.testing.assert_close(loss(z, q), expected)


def test_deferred_weight_switches_at_the_first_step_of_its_epoch():
    for epochs, start in ((200, 160), (10, 8), (7, 5), (320, 256), (1000, 800)):
        weight = Deferred(EffectiveNumber(), after=0.8, class_counts=N)
        later = EffectiveNumber(class_counts=N)()
        for epoch in range(epochs):
            weight.set_epoch(epoch, epochs=epochs)
            expected = later if epoch >= start else torch.ones(3, dtype=torch.float64)
            assert torch.equal(weight(), expected)
    loss = LDAM(weight=Deferred(EffectiveNumber()), class_counts=N, reduction="sum")
    loss.set_epoch(0, epochs=10)
    early = loss(Z, Y)
    loss.set_epoch(9)
    assert not torch.isclose(early, loss(Z, Y))
