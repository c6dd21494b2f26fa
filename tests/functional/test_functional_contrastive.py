"""The parametric contrastive loss against the worked, recorded and looped numbers."""

from __future__ import annotations

import math

import pytest
import torch

from longtail.errors import LongtailError
from longtail.functional import paco_loss


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


def test_worked():
    features = f64([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]])
    loss = paco_loss(
        f64([[1.0, 0.5, -0.5]]),
        features,
        torch.tensor([0, 0, 1, 0]),
        log_prior=f64([0.6, 0.3, 0.1]).log(),
        temperature=0.5,
    )
    assert loss.item() == pytest.approx(1.866833, abs=1e-6)


def test_recorded(golden):
    cases = golden("paco")
    for case in cases:
        p = {k: v for k, v in case["params"].items() if k != "K"}
        c = f64(case["inputs"]["center_logits"]).requires_grad_()
        f = f64(case["inputs"]["features"]).requires_grad_()
        labels = torch.tensor(case["inputs"]["labels"])
        loss = paco_loss(c, f, labels, counts=case["class_counts"], **p)
        loss.backward()
        assert loss.item() == pytest.approx(case["outputs"]["loss"], rel=1e-5)
        for got, name in ((c.grad, "grad_center_logits"), (f.grad, "grad_features")):
            torch.testing.assert_close(got, f64(case["outputs"][name]), rtol=1e-5, atol=1e-7)


def looped(c, f, y, log_prior, alpha, beta, gamma, temperature, supt):
    rows = []
    for i in range(len(c)):
        u = [(float(c[i, k]) + float(log_prior[k])) / supt for k in range(c.shape[1])]
        z, numerator, weight = sum(map(math.exp, u)), beta * u[int(y[i])], beta
        for j in range(len(f)):
            if j == i or y[j] < 0:
                continue
            s = float(f[i] @ f[j]) / temperature
            z += gamma * math.exp(s)
            if y[j] == y[i]:
                numerator, weight = numerator + alpha * s, weight + alpha
        rows.append(math.log(z) - numerator / weight)
    return rows


def make(seed=0, anchors=4, rows=14, classes=5, dim=6):
    g = torch.Generator().manual_seed(seed)
    f = torch.nn.functional.normalize(torch.randn(rows, dim, generator=g).double(), dim=1)
    c = torch.randn(anchors, classes, generator=g).double()
    y = torch.randint(0, classes, (rows,), generator=g)
    y[-4:-1] = -1
    return c, f, y


@pytest.mark.parametrize("gamma", [1.0, 0.3])
def test_against_a_loop_with_empty_queue_slots(gamma):
    c, f, y = make()
    n = f64([50, 20, 9, 4, 1])
    expected = looped(c, f, y, (n / n.sum()).log(), 0.05, 1.5, gamma, 0.2, 2.0)
    how = {"alpha": 0.05, "beta": 1.5, "gamma": gamma, "temperature": 0.2, "supt": 2.0}
    got = paco_loss(c, f, y, counts=n, reduction="none", **how)
    torch.testing.assert_close(got, f64(expected))
    f2 = f.clone()
    f2[y < 0] = 7.0  # what stands in an empty slot does not matter
    torch.testing.assert_close(paco_loss(c, f2, y, counts=n, reduction="none", **how), got)


def test_renaming_the_classes_changes_nothing():
    c, f, y = make(3)
    n, p = f64([50, 20, 9, 4, 1]), torch.tensor([3, 0, 4, 1, 2])
    back = torch.argsort(p)
    renamed = torch.where(y < 0, y, back[y.clamp_min(0)])
    one = paco_loss(c, f, y, counts=n)
    torch.testing.assert_close(one, paco_loss(c[:, p], f, renamed, counts=n[p]))


def test_gradient_and_half_precision_and_edges():
    c, f, y = make(1)
    c.requires_grad_()
    f.requires_grad_()
    assert torch.autograd.gradcheck(lambda c, f: paco_loss(c, f, y, temperature=0.3), (c, f))
    for dtype in (torch.float16, torch.bfloat16):
        z = torch.full((2, 3), 1e3, dtype=dtype, requires_grad=True)
        rows = torch.eye(4, dtype=dtype)
        labels = torch.tensor([0, 1, 0, 1])
        loss = paco_loss(z, rows, labels, counts=[70000, 10, 1])
        loss.backward()
        assert loss.dtype == torch.float32
        assert torch.isfinite(loss)
        assert torch.isfinite(z.grad).all()
    one = paco_loss(torch.zeros(1, 3), torch.eye(2), torch.tensor([1, 1]), alpha=0.0, gamma=0.0)
    assert one.item() == pytest.approx(math.log(3))
    empty = paco_loss(torch.zeros(1, 3), torch.eye(2), torch.tensor([1, -1]))
    assert torch.isfinite(empty)


@pytest.mark.parametrize(
    "bad",
    [
        {"alpha": -1.0},
        {"beta": 0.0},
        {"temperature": 0.0},
        {"supt": float("nan")},
        {"reduction": "max"},
        {"counts": [1, 2]},
        {"counts": [1, 2, 3, 4, 5], "log_prior": torch.zeros(5)},
    ],
)
def test_refusals_have_two_lines(bad):
    with pytest.raises(LongtailError) as caught:
        paco_loss(*make(), **bad)
    assert len(str(caught.value).splitlines()) == 2


def test_shapes_that_do_not_fit():
    c, f, y = make()
    with pytest.raises(LongtailError, match="do not fit"):
        paco_loss(c, f, y[:-1])
