"""Mixing and the two-branch and diverse-expert formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from longtail.errors import LongtailError
from longtail.functional import (
    bbn_alpha,
    bbn_features,
    bbn_loss,
    beta_quantile,
    diverse_adjustments,
    diverse_experts_loss,
    inverse_prior,
    mix_rows,
    mixed_loss,
    mixup_weight,
)

pytestmark = pytest.mark.usefixtures("untouched_randomness")


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


def test_mixup_weight_is_beta_distributed():
    u = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    for alpha in (0.2, 1.0, 4.0):
        lam = mixup_weight(u, alpha)
        assert stats.kstest(lam.numpy(), stats.beta(alpha, alpha).cdf).pvalue > 0.99
    torch.testing.assert_close(mixup_weight(u, 1.0), u)
    assert (mixup_weight(u, 0.0) == 1).all()
    assert mixup_weight(torch.tensor(0.5, dtype=torch.float64), 0.3).item() == pytest.approx(0.5)


def test_mixup_recorded(golden):
    for case in golden("mixup"):
        x, perm = f64(case["inputs"]["x"]), torch.tensor(case["inputs"]["perm"])
        y, lam = torch.tensor(case["inputs"]["target"]), case["params"]["lam"]
        before = x.clone()
        mixed = mix_rows(x, perm, lam)
        torch.testing.assert_close(x, before, rtol=0, atol=0)
        torch.testing.assert_close(mixed, f64(case["outputs"]["mixed"]), rtol=1e-6, atol=1e-8)
        loss = mixed_loss(F.cross_entropy, mixed, y, y[perm], lam)
        assert loss.item() == pytest.approx(case["outputs"]["loss_with_identity_model"], rel=1e-6)


def test_mix_rows_with_a_weight_for_each_row():
    x = torch.arange(12.0).reshape(3, 2, 2)
    lam = torch.tensor([1.0, 0.0, 0.25])
    out = mix_rows(x, torch.tensor([2, 0, 1]), lam)
    torch.testing.assert_close(out[0], x[0])
    torch.testing.assert_close(out[1], x[0])
    torch.testing.assert_close(out[2], 0.25 * x[2] + 0.75 * x[1])


def test_bbn_worked():
    assert [round(float(bbn_alpha(t, 200)), 6) for t in (0, 100, 199)] == [1.0, 0.75, 0.009975]
    assert bbn_alpha(torch.tensor(100), 200).item() == 0.75
    z = f64([[2.0, 1.0, 0.0]])
    loss = bbn_loss(z, torch.tensor([0]), torch.tensor([2]), 0.75)
    assert loss.item() == pytest.approx(0.907606, abs=1e-6)


def test_bbn_recorded(golden):
    seen = 0
    for case in golden("bbn"):
        part, inputs, out = case["params"]["part"], case["inputs"], case["outputs"]
        if part == "alpha":
            t = case["params"]["epoch_1based"] - 1
            assert float(bbn_alpha(t, out["div_epoch"])) == pytest.approx(out["alpha"], rel=1e-6)
            seen += 1
        elif part == "bbn_mix loss":
            f_c, f_r, w = (f64(inputs[k]).requires_grad_() for k in ("f_c", "f_r", "weight"))
            alpha = bbn_alpha(case["params"]["epoch_1based"] - 1, case["params"]["max_epoch"])
            logits = F.linear(bbn_features(f_c, f_r, alpha), w, f64(inputs["bias"]))
            labels = (torch.tensor(inputs[k]) for k in ("y_uniform", "y_reversed"))
            loss = bbn_loss(logits, *labels, alpha)
            loss.backward()
            assert loss.item() == pytest.approx(out["loss"], rel=1e-6)
            torch.testing.assert_close(f_c.grad, f64(out["grad_f_c"]), rtol=1e-6, atol=1e-8)
            torch.testing.assert_close(w.grad, f64(out["grad_weight"]), rtol=1e-6, atol=1e-8)
            seen += 1
    assert seen >= 2


def test_inverse_prior():
    torch.testing.assert_close(inverse_prior(f64([0.7, 0.2, 0.1])), f64([0.1, 0.2, 0.7]))
    torch.testing.assert_close(inverse_prior(f64([0.2, 0.5, 0.3])), f64([0.5, 0.2, 0.3]))
    tied = inverse_prior(f64([0.4, 0.4, 0.2]))
    torch.testing.assert_close(tied.sort().values, f64([0.2, 0.4, 0.4]))
    assert tied[2] == 0.4
    prior, p = f64([0.1, 0.4, 0.2, 0.3]), torch.tensor([3, 1, 0, 2])
    torch.testing.assert_close(inverse_prior(prior)[p], inverse_prior(prior[p]))


def test_diverse_experts_worked():
    z = f64([[[1.0, 0.5, 0.0]]]).expand(3, 1, 3)
    y = torch.tensor([2])
    a = diverse_adjustments([7, 2, 1], 2.0)
    assert diverse_experts_loss(z, y, a).item() == pytest.approx(11.710983, abs=1e-6)
    each = [diverse_experts_loss(z[e : e + 1], y, a[e : e + 1]).item() for e in range(3)]
    np.testing.assert_allclose(each, (1.680270, 3.149543, 6.881169), atol=1e-6)


def test_diverse_experts_recorded(golden):
    seen = 0
    for case in golden("sade"):
        if case["params"]["part"] != "DiverseExpertLoss":
            continue
        z = f64(case["inputs"]["expert_logits"]).requires_grad_()
        y = torch.tensor(case["inputs"]["target"])
        n = f64(case["class_counts"])
        expected = f64(case["outputs"]["inverse_prior"])
        torch.testing.assert_close(inverse_prior(n / n.sum()), expected, rtol=1e-6, atol=1e-8)
        loss = diverse_experts_loss(z, y, diverse_adjustments(n, case["params"]["tau"]))
        loss.backward()
        assert loss.item() == pytest.approx(case["outputs"]["loss"], rel=1e-5)
        grad = f64(case["outputs"]["grad_expert_logits"])
        torch.testing.assert_close(z.grad, grad, rtol=1e-5, atol=1e-8)
        for reduction, total in (("sum", loss * len(y)), ("none", loss * len(y))):
            a = diverse_adjustments(n, case["params"]["tau"])
            got = diverse_experts_loss(z, y, a, reduction=reduction).sum()
            torch.testing.assert_close(got, total)
        seen += 1
    assert seen


def test_diverse_experts_with_a_class_that_is_masked():
    a = diverse_adjustments([50, 0, 5], 1.0)
    assert a[1, 1] == a[2, 1] == -torch.inf
    z = torch.zeros(3, 2, 3, requires_grad=True)
    loss = diverse_experts_loss(z, torch.tensor([0, 2]), a)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: beta_quantile(torch.zeros(1), 0.0, 1.0),
        lambda: mixup_weight(torch.zeros(1), float("nan")),
        lambda: bbn_alpha(0, 0),
        lambda: bbn_features(torch.zeros(2, 3), torch.zeros(2, 4), 0.5),
        lambda: diverse_adjustments([1, 2], float("inf")),
        lambda: diverse_experts_loss(
            torch.zeros(2, 4, 3), torch.zeros(4).long(), torch.zeros(3, 3)
        ),
    ],
)
def test_refusals_have_two_lines(call):
    with pytest.raises(LongtailError) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 2
