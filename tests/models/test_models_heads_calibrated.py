"""Heads whose logits a second stage corrects: distribution alignment and margin calibration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from longtail import create
from longtail.errors import ConfigError, UnknownNameError
from longtail.functional.calibration import (
    align_distribution,
    calibrate_margins,
    max_norm,
    norm_threshold,
)
from longtail.losses import CrossEntropy, InverseFrequency
from longtail.models import DisAlignHead, LinearHead, MarcHead

Golden = Callable[[str], Any]


def f64(x: Any) -> Tensor:
    return torch.tensor(x, dtype=torch.float64)


Z = f64([[2.0, 1.0, 0.5]])
HALF = f64([[0.5]])
WEIGHT = f64([[3.0, 4.0], [1, 0], [0, 0.5]])
H = f64([[1.0, 2.0]])


@pytest.mark.parametrize(
    ("form", "alpha", "beta", "expected"),
    [
        ("code", (1, 1, 1), (0, 0, 0), (3, 1.5, 0.75)),
        ("paper", (1, 1, 1), (0, 0, 0), (2, 1, 0.5)),
        ("code", (0.8, 1, 1.3), (-0.2, 0, 0.4), (2.7, 1.5, 1.025)),
        ("paper", (0.8, 1, 1.3), (-0.2, 0, 0.4), (1.7, 1, 0.775)),
    ],
)
def test_alignment_worked_numbers(form: str, alpha: Any, beta: Any, expected: Any) -> None:
    out = align_distribution(Z, HALF, f64(alpha), f64(beta), form=form)
    np.testing.assert_allclose(out[0], expected, atol=1e-12)


def test_alignment_recorded_numbers(golden: Golden) -> None:
    """Both published parametrisations: the head of the detectors, and the linear layer."""
    seen = set()
    for case in golden("disalign"):
        if "form" not in case["params"]:
            continue
        given, out = case["inputs"], case["outputs"]
        form = "paper" if case["params"]["form"].startswith("paper") else "code"
        seen.add(form)
        z, h = f64(given["logits"]), f64(given["features"])
        head = DisAlignHead(h.shape[1], z.shape[1], form=form).double()
        with torch.no_grad():
            head.confidence.weight.copy_(f64(given["confidence_weight"]))
            head.confidence.bias.copy_(f64(given["confidence_bias"]))
            sure = torch.sigmoid(head.confidence(h))
            aligned = align_distribution(
                z, sure, f64(given["logit_scale"]), f64(given["logit_bias"]), form=form
            )
        np.testing.assert_allclose(sure, out["confidence"], rtol=1e-6)
        np.testing.assert_allclose(aligned, out["logits"], rtol=1e-6)
    assert seen == {"paper", "code"}


def test_generalised_reweighting_recorded_numbers(golden: Golden) -> None:
    cases = [c for c in golden("disalign") if "exp_scale" in c["params"]]
    assert cases
    for case in cases:
        given, out = case["inputs"], case["outputs"]
        weight = InverseFrequency(case["params"]["exp_scale"])
        loss = CrossEntropy(
            weight=weight, reduction="weighted_mean", class_counts=case["class_counts"]
        )
        z = f64(given["logits"]).requires_grad_()
        value = loss(z, torch.tensor(given["target"]))
        value.backward()
        np.testing.assert_allclose(loss.class_weight(), out["class_weights"], rtol=1e-6)
        np.testing.assert_allclose(value.item(), out["loss"], rtol=1e-6)
        np.testing.assert_allclose(z.grad, out["grad_logits"], rtol=1e-6, atol=1e-8)


def test_the_two_forms_are_one_family() -> None:
    g = torch.Generator().manual_seed(1)
    z, s = torch.randn(5, 4, generator=g).double(), torch.rand(5, 1, generator=g).double()
    alpha, beta = torch.randn(4, generator=g).double(), torch.randn(4, generator=g).double()
    paper = align_distribution(z, s, alpha + 1, beta)
    torch.testing.assert_close(paper, align_distribution(z, s, alpha, beta, form="code"))
    loop = [
        [float(s[i, 0]) * (float(alpha[c] + 1) * float(z[i, c]) + float(beta[c]))
         + (1 - float(s[i, 0])) * float(z[i, c]) for c in range(4)]
        for i in range(5)
    ]  # fmt: skip
    np.testing.assert_allclose(paper, loop, rtol=1e-12)


@pytest.mark.parametrize(
    "make", [DisAlignHead, lambda d, c: DisAlignHead(d, c, form="code"), MarcHead]
)
def test_a_new_head_is_a_linear_classifier(make: Callable[[int, int], LinearHead]) -> None:
    """So a first stage trains a plain one, and no head is swapped between stages."""
    torch.manual_seed(0)
    head = make(6, 4)
    h = torch.randn(7, 6)
    torch.testing.assert_close(head(h), torch.nn.functional.linear(h, head.weight, head.bias))
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(1.0)
    head.reset_parameters()
    torch.testing.assert_close(head(h), torch.nn.functional.linear(h, head.weight, head.bias))


def test_confidence_starts_as_published_and_learns_once_the_margins_moved() -> None:
    head = DisAlignHead(3, 2)
    assert torch.equal(head.confidence.weight, torch.full((1, 3), 0.1))
    head.double()
    h = f64([[0.2, -1.0, 0.5]])
    head.beta.data.copy_(f64([0.3, -0.3]))
    head(h)[0, 0].backward()
    assert bool(head.confidence.weight.grad.abs().sum() > 0)
    parameters = (head.weight, head.bias, head.alpha, head.beta, head.confidence.weight)

    def call(*values: Tensor) -> Tensor:
        names = ("weight", "bias", "alpha", "beta", "confidence.weight")
        return torch.func.functional_call(head, dict(zip(names, values, strict=True)), (h,))

    assert torch.autograd.gradcheck(call, tuple(p.detach().requires_grad_() for p in parameters))


def test_margin_worked_and_recorded_numbers(golden: Golden) -> None:
    head = MarcHead(2, 3).double()
    with torch.no_grad():
        head.weight.copy_(WEIGHT)
        head.bias.zero_()
        head.omega.copy_(f64([0.9, 1, 1.2]))
        head.beta.copy_(f64([-0.1, 0, 0.3]))
    np.testing.assert_allclose(head(H).detach()[0], (9.4, 1.0, 1.35), atol=1e-12)
    for case in golden("marc"):
        given = case["inputs"]
        h, w = f64(given["features"]), f64(given["weight"])
        out = calibrate_margins(h @ w.T, w, f64(given["omega"]), f64(given["beta"]))
        np.testing.assert_allclose(out, case["outputs"]["logits"], rtol=1e-6)


def test_margins_apply_at_test_and_follow_the_weights() -> None:
    """Of two published copies one forgets the correction at test, one keeps stale lengths."""
    head = MarcHead(2, 3).double()
    head.beta.data.fill_(2.0)
    assert torch.equal(head.eval()(H), head.train()(H))
    before = head(H).detach()
    with torch.no_grad():
        plain = LinearHead.forward(head, H)
        torch.testing.assert_close(before - plain, 2 * head.weight.norm(dim=1)[None])
        head.weight.mul_(3.0)
        torch.testing.assert_close(
            head(H) - LinearHead.forward(head, H), 2 * head.weight.norm(dim=1)[None]
        )


def test_no_gradient_flows_through_the_lengths() -> None:
    head = MarcHead(2, 3).double()
    head.beta.data.fill_(5.0)
    head(H).sum().backward()
    torch.testing.assert_close(head.weight.grad, H.expand(3, 2))
    torch.testing.assert_close(head.beta.grad, head.weight.detach().norm(dim=1))


def test_margins_are_an_affine_classifier() -> None:
    torch.manual_seed(0)
    head = MarcHead(4, 3)
    with torch.no_grad():
        head.omega.normal_()
        head.beta.normal_()
    h = torch.randn(6, 4)
    weight, bias = head.affine()
    torch.testing.assert_close(torch.nn.functional.linear(h, weight, bias), head(h))
    assert DisAlignHead(4, 3).affine() is None


@pytest.mark.parametrize("name", ["disalign", "marc"])
def test_half_precision(name: str) -> None:
    head = create("head", name, in_features=4, num_classes=3)
    h = 100 * torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = head(h)
    assert torch.isfinite(low).all()
    torch.testing.assert_close(low.float(), head(h), rtol=0.05, atol=1.0)
    assert torch.isfinite(head.bfloat16()(h.bfloat16())).all()


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="paper"):
        DisAlignHead(4, 3, form="papr")
    with pytest.raises(ConfigError):
        MarcHead(0, 3)


# -- the bound on lengths --------------------------------------------------------------------


def test_max_norm_worked_numbers() -> None:
    weight = f64([[3.0, 4.0], [1, 0], [0, 0.5]])
    t = norm_threshold(weight, 0.1)
    assert float(t) == pytest.approx(0.95)
    scales = max_norm(weight, t).norm(dim=1) / weight.norm(dim=1)
    np.testing.assert_allclose(scales, (0.19, 0.95, 1), atol=1e-12)


def test_max_norm_recorded_numbers(golden: Golden) -> None:
    cases = [c for c in golden("weight_balancing") if c["params"]["part"] == "MaxNorm"]
    assert cases
    for case in cases:
        given, out = case["inputs"], case["outputs"]
        t = norm_threshold(f64(given["weight_at_start"]), case["params"]["thresh"])
        assert float(t) == pytest.approx(out["threshold"], rel=1e-6)
        cut = max_norm(f64(given["weight_before"]), t)
        np.testing.assert_allclose(cut, out["weight_after"], rtol=1e-6)


def test_unit_rows_recorded_numbers(golden: Golden) -> None:
    """The tau-normaliser beside it, its exponent applied once: unit rows at tau 1."""
    cases = [c for c in golden("weight_balancing") if "tau" in c["params"]]
    assert cases
    for case in cases:
        weight = f64(case["inputs"]["weight"])
        unit = weight / weight.norm(dim=1, keepdim=True) ** case["params"]["tau"]
        np.testing.assert_allclose(unit, case["outputs"]["weight"], rtol=1e-6)


def test_max_norm_is_a_projection() -> None:
    """Nothing in the set is nearer; short rows, zero rows and filters stay or keep their shape."""
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(5, 3, 2, generator=g).double()
    weight[1] = 0
    t = 0.8
    cut = max_norm(weight, t)
    assert cut.shape == weight.shape
    assert torch.equal(cut[1], weight[1])
    assert float(cut.flatten(1).norm(dim=1).max()) <= t * (1 + 1e-12)
    torch.testing.assert_close(max_norm(cut, t), cut)
    distance = (weight - cut).flatten(1).norm(dim=1)
    torch.testing.assert_close(distance, (weight.flatten(1).norm(dim=1) - t).clamp_min(0))
