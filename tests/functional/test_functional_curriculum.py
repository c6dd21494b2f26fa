"""The curriculum's schedules, batch weights and triplets against loops in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from longtail.errors import LongtailError
from longtail.functional import (
    curriculum_exponent,
    easy_anchor_triplets,
    metric_share,
    selection_weights,
)
from longtail.objectives.curriculum import minority_classes

SCHEDULES = {
    "linear": lambda t: 1 - t,
    "convex": lambda t: math.cos(math.pi * t / 2),
    "concave": lambda t: 0.01**t,
    "composite": lambda t: 0.5 * math.cos(math.pi * t) + 0.5,
}


def f64(x):
    return torch.as_tensor(np.asarray(x), dtype=torch.float64)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_exponent_falls_from_one_to_nothing(name):
    t = np.linspace(0, 1, 41)
    got = curriculum_exponent(f64(t), name).numpy()
    np.testing.assert_allclose(got, [SCHEDULES[name](v) for v in t], atol=1e-12)
    assert got[0] == 1
    assert (np.diff(got) < 0).all()
    assert got[-1] == pytest.approx(0.01 if name == "concave" else 0, abs=1e-12)


def test_an_unknown_schedule_is_refused():
    with pytest.raises(LongtailError, match="composite") as caught:
        curriculum_exponent(f64(0.5), "composit")
    assert len(str(caught.value).splitlines()) == 2


def test_the_share_of_the_triplets():
    got = metric_share(f64([0.0, 0.2, 0.3, 1.0]), until=0.3, floor=0.05)
    early = [1.05, 0.5 * math.cos(0.2 * math.pi) + 0.55]
    np.testing.assert_allclose(got, [*early, 0.05, 0.05], atol=1e-12)


def looped_weights(target, counts, g, uniform):
    classes, sizes = np.unique(target, return_counts=True)
    batch = dict(zip(classes, sizes, strict=True))
    rarest = min(counts[c] for c in classes)
    reference = max(batch[c] for c in classes if counts[c] == rarest)
    out = []
    for y, u in zip(target, uniform, strict=True):
        w = (counts[y] / rarest) ** g / (batch[y] / reference)
        out.append(w if w >= 1 else float(u < w))
    return np.array(out)


@pytest.mark.parametrize("g", [1.0, 0.6, 0.0])
@pytest.mark.parametrize("seed", range(4))
def test_selection_is_its_loop(g, seed):
    rng = np.random.default_rng(seed)
    counts = np.array([7.0, 120.0, 2.0, 30.0, 2.0])
    target = rng.choice(5, 24, p=counts / counts.sum()) if seed else np.array([1] * 20 + [0, 3, 3])
    uniform = rng.random(len(target))
    got = selection_weights(torch.from_numpy(target), f64(counts), f64(g), f64(uniform))
    np.testing.assert_allclose(got, looped_weights(target, counts, g, uniform), rtol=1e-12)


def test_selection_by_hand():
    """F1 counts, 8 + 3 + 1 rows: towards even classes the frequent ones keep 1/8 and 1/3."""
    target = torch.tensor([0] * 8 + [1] * 3 + [2])
    n, u = f64([100.0, 10.0, 1.0]), (torch.arange(12) + 0.5) / 12
    even = selection_weights(target, n, f64(0.0), u.double())
    assert even.tolist() == [1.0] + [0.0] * 10 + [1.0]
    natural = selection_weights(target, n, f64(1.0), u.double())
    np.testing.assert_allclose(natural, [100 / 8] * 8 + [10 / 3] * 3 + [1.0])


def test_selection_meets_its_target_on_average():
    """With many draws the kept mass of each class is in the ratio asked for."""
    rng = np.random.default_rng(0)
    n, target = np.array([100.0, 10.0, 1.0]), np.array([0] * 40 + [1] * 20 + [2] * 4)
    total = np.zeros(3)
    for _ in range(4000):
        w = selection_weights(
            torch.from_numpy(target), f64(n), f64(0.5), f64(rng.random(len(target)))
        )
        total += np.bincount(target, w.numpy(), 3)
    np.testing.assert_allclose(total / total[2], np.sqrt(n), rtol=0.02)


def looped_triplets(h, p, y, minority, margin, k):
    h = h / np.linalg.norm(h, axis=1, keepdims=True)
    terms = []
    for c in np.flatnonzero(minority):
        own, rest = np.flatnonzero(y == c), np.flatnonzero(y != c)
        anchors = own[np.argsort(-p[own, c], kind="stable")][:k]
        negatives = rest[np.argsort(-p[rest, c], kind="stable")][:k]
        for a in anchors:
            mates = own[own != a]
            positives = mates[np.argsort(p[mates, c], kind="stable")][:k]
            for q in positives:
                for r in negatives:
                    pull, push = ((h[a] - h[q]) ** 2).sum(), ((h[a] - h[r]) ** 2).sum()
                    terms.append(max(0.0, margin + pull - push))
    return np.mean(terms) if terms else 0.0


@pytest.mark.parametrize("seed", range(5))
def test_triplets_are_their_loop(seed):
    rng = np.random.default_rng(seed)
    h, z = rng.normal(size=(18, 6)), rng.normal(size=(18, 4))
    p, y = np.exp(z) / np.exp(z).sum(1, keepdims=True), rng.integers(0, 4, 18)
    minority = np.array([False, True, True, seed % 2 == 0])
    x = f64(h).requires_grad_()
    options = {"margin": 0.3, "easiest": 1 + seed}
    got = easy_anchor_triplets(
        x, f64(p), torch.from_numpy(y), torch.from_numpy(minority), **options
    )
    expected = looped_triplets(h, p, y, minority, 0.3, 1 + seed)
    assert got.item() == pytest.approx(expected, rel=1e-10)
    assert expected > 0
    assert torch.autograd.gradcheck(
        lambda v: easy_anchor_triplets(
            v, f64(p), torch.from_numpy(y), torch.from_numpy(minority), **options
        ),
        (x,),
    )


@pytest.mark.parametrize("y", [[0, 0, 0], [0, 1, 2], [1]])
def test_a_batch_without_a_triplet_costs_nothing(y):
    x = torch.randn(len(y), 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    p = torch.full((len(y), 3), 1 / 3)
    loss = easy_anchor_triplets(x, p, torch.tensor(y), torch.tensor([False, True, True]))
    loss.backward()
    assert loss.item() == 0
    assert (x.grad == 0).all()


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([100, 10, 1], [False, True, True]),
        ([5, 2, 8, 1], [True, True, False, True]),
        ([4, 4, 4], [False, False, False]),
        ([9, 0, 3], [False, False, True]),
    ],
)
def test_minority_classes(counts, expected):
    assert minority_classes(torch.tensor(counts)).tolist() == expected
