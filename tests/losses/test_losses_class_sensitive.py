"""Suppression, margins, temperatures and noise: worked numbers, recorded runs, NumPy loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tests.losses.rare import COS, COUNTS, Y, Z, f64, make, rows_of_numbers, uniform_of

from longtail.functional.remargin import key_point_scales, mirrored

pytestmark = pytest.mark.usefixtures("untouched_randomness")

RARE = {"threshold": 0.02, "gamma": 1.0}
WORKED = [
    ("vs", {}, 1.0, (0.023593, 3.824991, 6.503169)),
    ("vs", {"tau": 0.0}, 1.0, (0.319792, 1.818605, 2.194198)),
    ("vs", {"gamma": 0.15, "tau": 1.25}, 1.0, (0.015871, 4.186157, 7.521740)),
    ("eql", RARE, 1.0, (0.313262, 1.313262, 1.964369)),
    ("eql", {**RARE, "form": "sigmoid"}, 1.0, (1.440190, 2.440190, 3.914267)),
    ("eql", {**RARE, "gamma": 0.0, "form": "sigmoid"}, 1.0, (2.414267, 3.414267, 3.914267)),
    ("seesaw", {}, 1.0, (0.061951, 3.053136, 4.559114)),
    ("acsl", {}, 1.0, (1.440190, 2.440190, 3.914267)),
    ("elm", {"scale": 10.0}, 10.0, (0.043907, 3.286807, 7.546317)),
    ("elm", {"scale": 10.0, "strength": 0.0}, 10.0, (0.557796, 4.837812, 9.127037)),
    ("kps", {"after": None}, 15.0, (0.000410, 11.369190, 17.828982)),
]


@pytest.mark.parametrize(("name", "options", "scale", "expected"), WORKED)
def test_worked_numbers(name, options, scale, expected):
    loss = make(name, **options)
    logits = Z if scale == 1 else scale * COS
    for z in (logits, logits.clone().requires_grad_()):
        np.testing.assert_allclose(loss(z, Y).detach(), expected, atol=1e-6)
        np.testing.assert_allclose(loss(z, torch.eye(3).double()).detach(), expected, atol=1e-6)


def test_worked_number_of_the_clouded_loss():
    noise = uniform_of(f64([0.2, 0.3, 0.1]))
    loss = make("gcl", noise_level=1.0, scale=10.0, noise=noise)
    assert torch.equal(loss.widths, f64([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(loss(10 * COS, Y), (0.036270, 3.536270, 5.036270), atol=1e-6)


def test_worked_scales_and_margins():
    loss = make("kps", after=None)
    np.testing.assert_allclose(loss.scales, (2.177184, 1.588592, 1.0), atol=1e-6)
    np.testing.assert_allclose(loss.margins / 15, (0.091862, 0.145931, 0.2), atol=1e-6)
    np.testing.assert_allclose(1 / make("vs").inverse, (1, 1.995262, 3.981072), atol=1e-6)


# -- recorded runs ---------------------------------------------------------------------------------


def _uniform(case):
    return f64(case["inputs"]["uniform_rand"])


RECORDED = {
    "eql": ("eql", "logits", lambda p, c: {"threshold": p["lambda_"], "gamma": 1.0, "form": "sigmoid"}),
    "seql": (
        "eql",
        "logits",
        lambda p, c: {"threshold": p["lambda_"], "gamma": p["gamma"], "noise": _uniform(c)},
    ),
    "seesaw": ("seesaw", "logits", lambda p, c: {"p": p["p"], "q": p["q"], "floor": p["eps"]}),
    "acsl": ("acsl", "logits", lambda p, c: {"threshold": p["score_thr"]}),
    "vs": ("vs", "logits", lambda p, c: {"gamma": p["gamma"], "tau": p["tau"]}),
    "cdt": ("vs", "logits", lambda p, c: {"gamma": p["gamma"], "tau": 0.0}),
    "elm": ("elm", "cosine", lambda p, c: {"margin": p["max_m"], "strength": p["lamda"]}),
    "kps": ("kps", "cosine", lambda p, c: {"margin": p["max_m"], "after": None}),
    "gcl": (
        "gcl",
        "cosine",
        lambda p, c: {
            "margin": p["m"],
            "noise_level": p["noise_mul"],
            "gamma": p["focal_gamma"],
            "noise": uniform_of(f64(c["inputs"]["clipped_abs_noise"])),
        },
    ),
    "gcl_angular": (
        "gcl",
        "cosine",
        lambda p, c: {
            "form": "angular",
            "margin": p["m"],
            "noise_level": p["epsilon"],
            "noise": uniform_of(f64(c["inputs"]["raw_noise"])),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("file", RECORDED)
def test_recorded(file, golden):
    """Values and gradients; where published code has a bug (kps with unsorted counts), not."""
    name, key, options = RECORDED[file]
    seen = 0
    for case in golden(file):
        p = case["params"]
        if p.get("counts_sorted_desc") is False or p.get("drw") or "sequential_steps" in p:
            continue
        z = f64(case["inputs"][key]).requires_grad_()
        y = torch.tensor(case["inputs"]["target"])
        scale = p["s"] if key == "cosine" else 1
        more = {"scale": float(scale)} if key == "cosine" else {}
        counts = case["class_counts"] or [1] * z.shape[1]
        loss = make(name, counts, "mean", **more, **options(p, case))
        value = loss(scale * z, y)
        value.backward()
        assert value.item() == pytest.approx(case["outputs"]["loss"], rel=1e-6, abs=1e-8)
        expected = f64(case["outputs"][f"grad_{key}"])
        torch.testing.assert_close(z.grad, expected, rtol=1e-6, atol=1e-6 / 3)
        for other, attribute in (("iota", "log_prior"), ("s_list", "scales"), ("a", "widths")):
            if other in case["outputs"]:
                np.testing.assert_allclose(getattr(loss, attribute), case["outputs"][other], 1e-6)
        seen += 1
    assert seen


def test_margins_follow_the_rank_and_not_the_class_id(golden):
    """Published code flips class ids: with unsorted counts its margins go to the wrong classes."""
    for case in golden("kps"):
        counts = case["class_counts"]
        order = torch.tensor([2, 0, 1, 3])
        sorted_loss = make("kps", counts, after=None)
        mixed = make("kps", [counts[i] for i in order], after=None)
        torch.testing.assert_close(mixed.margins, sorted_loss.margins[order])
        flipped = mixed.scales.flip(0) * (15 * 0.2 / mixed.scales.max())
        assert not torch.allclose(mixed.margins, flipped)


def test_classes_of_equal_count_share_a_margin():
    counts = [50, 7, 7, 7, 2]
    margins = mirrored(key_point_scales(counts), counts)
    assert margins[1] == margins[2] == margins[3]
    assert margins[0] < margins[1] < margins[4]


# -- loops -----------------------------------------------------------------------------------------


def ce_of(t, y):
    top = max(t)
    return math.log(sum(math.exp(a - top) for a in t)) + top - t[y]


def bce_of(z, y, w):
    sign = [-1 if j == y else 1 for j in range(len(z))]
    return sum(
        (1 if j == y else w[j]) * math.log1p(math.exp(sign[j] * z[j])) for j in range(len(z))
    )


def looped(name, z, y, n, o, noise):
    """Loss of one row by plain arithmetic; ``noise`` are the row's uniform numbers."""
    c, total, classes = list(z), sum(n), range(len(z))
    if name == "vs":
        t = [
            c[j] / (max(n) / n[j]) ** o["gamma"] + o["tau"] * math.log(n[j] / total)
            for j in classes
        ]
        return ce_of(t, y)
    if name == "eql":
        drop = [n[j] / total < o["threshold"] and noise[j] < o["gamma"] for j in classes]
        if o.get("form") == "sigmoid":
            return bce_of(c, y, [1 - d for d in drop])
        kept = [j for j in classes if j == y or not drop[j]]
        return ce_of([c[j] for j in kept], kept.index(y))
    if name == "acsl":
        return bce_of(c, y, [1 / (1 + math.exp(-a)) >= o["threshold"] for a in c])
    if name == "elm":
        m = [o["scale"] * o["margin"] * (min(n) / k) ** 0.25 for k in n]
        rival = max((j for j in classes if j != y), key=lambda j: c[j])
        c[y] += o["strength"] * m[rival] - m[y]
        return ce_of(c, y)
    if name == "kps":
        s = [math.log(o["base"] * k / min(n)) / math.log(o["base"]) for k in n]
        mirror = sorted(s)[sorted(n, reverse=True).index(n[y])]
        t = [a * b for a, b in zip(c, s, strict=True)]
        t[y] -= o["scale"] * o["margin"] * mirror / max(s)
        gain = min(max(o["scale"] * mirror, o["scale"]), o["largest"]) / o["scale"]
        return ce_of([a * (gain if o["after"] is not None else 1) for a in t], y)
    size = [min(abs(_quantile(u)) / 3, 1) for u in noise]
    wide = [math.log(max(n) / k) / math.log(max(n) / min(n)) for k in n]
    d = [o["noise_level"] * a * b for a, b in zip(size, wide, strict=True)]
    if o.get("form") == "angular":
        d = [a * math.pi / 2 + (o["margin"] if j == y else 0) for j, a in enumerate(d)]
        angle = [math.acos(a / o["scale"]) for a in c]
        return ce_of([o["scale"] * math.cos(a + b) for a, b in zip(angle, d, strict=True)], y)
    t = [a - o["scale"] * (d[j] + o["margin"] * (j == y)) for j, a in enumerate(c)]
    return ce_of(t, y)


def _quantile(u):
    """The half-normal number of ``u``, by bisection."""
    low, high = 0.0, 10.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erf(middle / math.sqrt(2)) < u else (low, middle)
    return low


KPS = {"margin": 0.2, "scale": 3.0, "base": 20.0, "largest": 5.0}
GCL = {"scale": 9.0, "margin": 0.1, "noise_level": 0.6}
LOOPS = [
    ("vs", {"gamma": 0.4, "tau": 1.3}),
    ("vs", {"gamma": 0.0, "tau": 0.7}),
    ("eql", {"threshold": 0.1, "gamma": 0.7}),
    ("eql", {"threshold": 0.1, "gamma": 0.7, "form": "sigmoid"}),
    ("acsl", {"threshold": 0.6}),
    ("elm", {"margin": 0.3, "scale": 4.0, "strength": 0.8}),
    ("elm", {"margin": 0.3, "scale": 4.0, "strength": -0.5}),
    ("kps", {**KPS, "after": None}),
    ("kps", {**KPS, "after": 0.0}),
    ("gcl", GCL),
    ("gcl", {**GCL, "form": "angular"}),
]


@pytest.mark.parametrize(("name", "options"), LOOPS)
def test_against_a_loop(name, options):
    z, y, noise = rows_of_numbers()

    def row(values, label, i):
        return looped(name, values, label, COUNTS, options, noise[i].tolist())

    expected = np.array([row(z[i].tolist(), int(y[i]), i) for i in range(12)])
    loss = make(name, COUNTS, noise=noise, **options)
    np.testing.assert_allclose(loss(z, y), expected, rtol=1e-9, atol=1e-12)
    every = np.array([[row(z[i].tolist(), c, i) for c in range(5)] for i in range(12)])
    np.testing.assert_allclose(loss.per_class(z), every, rtol=1e-9, atol=1e-12)
    leaf, step = z.clone().requires_grad_(), 1e-6
    (grad,) = torch.autograd.grad(loss(leaf, y).sum(), leaf)
    for i, j in ((0, 0), (3, int(y[3])), (5, 2), (11, 4)):
        up, down = z[i].tolist(), z[i].tolist()
        up[j] += step
        down[j] -= step
        slope = (row(up, int(y[i]), i) - row(down, int(y[i]), i)) / (2 * step)
        assert grad[i, j].item() == pytest.approx(slope, rel=1e-4, abs=1e-7)


def two_forms_of_seesaw(z, y, n, p, q, floor):
    """The published matrix of ratios, and the same by logarithms of single entries."""
    e = np.exp(z - z.max())
    prob = e / e.sum()
    ratio = n[None, :] / n[:, None]
    mitigation = np.where(ratio < 1, ratio**p, 1.0)[y]
    gap = prob / max(prob[y], floor)
    factor = mitigation * np.where(gap > 1, gap**q, 1.0)
    factor[y] = 1.0
    one = np.log((factor * e).sum()) - np.log(e[y])
    other = 0.0
    for j in range(len(z)):
        if j != y:
            log_s = p * min(0.0, math.log(n[j]) - math.log(n[y]))
            log_s += q * max(0.0, math.log(prob[j]) - math.log(max(prob[y], floor)))
            other += math.exp(z[j] - z[y] + log_s)
    return one, math.log1p(other)


@pytest.mark.parametrize(("p", "q", "floor"), [(0.8, 2.0, 0.01), (1.5, 0.0, 0.01), (0.0, 1.0, 0.3)])
def test_seesaw_against_two_forms(p, q, floor):
    z, y, _ = rows_of_numbers()
    n = np.array(COUNTS, dtype=np.float64)
    loss = make("seesaw", COUNTS, p=p, q=q, floor=floor)
    for values in (z, z.clone().requires_grad_()):
        got = loss(values, y).detach()
        for form in (0, 1):
            expected = [
                two_forms_of_seesaw(z[i].numpy(), int(y[i]), n, p, q, floor)[form]
                for i in range(12)
            ]
            np.testing.assert_allclose(got, expected, rtol=1e-9)
