"""What the stages of ``rtc`` and ``gist`` compute, against formulas written in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.special import log_softmax, logsumexp
from torch import Tensor

from longtail.engine.stage import make_recipe
from longtail.functional.noise import spread
from longtail.models.taxonomy import grow
from longtail.registry import get
from longtail.testing.toy import first_batch, toy_stage

Array = Any


def stage(name: str, number: int = 0, **options: Any) -> Any:
    return toy_stage(make_recipe(get("recipes", name), **options), number)


def array(x: Tensor) -> Array:
    return x.detach().double().numpy()


def test_rtc() -> None:
    """A tree ((0, 2), (1, 3)): node losses along the path, then the tree as each row's gates cut it."""
    built = stage("rtc", 1, drop=0.5, strength=0.7)
    head = built.ctx.model.head
    lines = {0: "a", 2: "a", 1: "b", 3: "b", "a": "root", "b": "root"}
    head.plant(grow(lines, [0, 1, 2, 3], ["w", "x", "y", "z"])[0])
    batch = first_batch(built)
    h, y = array(built.ctx.model(batch.views[0]).features), batch.target.numpy()
    o = h @ np.concatenate([array(head.weight), array(head.inner)]).T
    o += np.concatenate([array(head.bias), array(head.inner_bias)])
    assert head.taxonomy.names == ("w", "x", "y", "z", "a", "b", "root")
    kept = array(spread(batch.draws[:, 0], 2)) >= 0.5
    assert 0 < kept.sum() < kept.size
    expected = []
    for b, label in enumerate(y):
        group = 4 + label % 2
        mates = [label % 2, label % 2 + 2]
        ncc = -log_softmax(o[b, [4, 5]])[label % 2] - log_softmax(o[b, mates])[label // 2]
        ends = {}
        for g in (4, 5):
            if kept[b, g - 4]:
                ends |= {c: o[b, g] + o[b, c] for c in (g - 4, g - 2)}
            else:
                ends[g] = o[b, g]
        own = ends.get(label, ends.get(group))
        expected.append(ncc / 2 + 0.7 * (logsumexp(list(ends.values())) - own))
    got = float(built.objective.terms(built.ctx, batch).total.detach())
    np.testing.assert_allclose(got, np.mean(expected), rtol=1e-5)


def test_rtc_mixed_targets() -> None:
    """A mixed row is the mixture of its losses."""
    built = stage("rtc", 1)
    head = built.ctx.model.head
    lines = {0: "a", 2: "a", 1: "b", 3: "b", "a": "root", "b": "root"}
    head.plant(grow(lines, [0, 1, 2, 3], ["w", "x", "y", "z"])[0])
    batch = first_batch(built)
    other = batch.target.roll(1)
    share = torch.linspace(0, 1, len(batch))
    built.ctx.model.eval()

    def total(**changes: Any) -> float:
        terms = built.objective.terms(built.ctx, batch.with_(**changes))
        return float(terms.total.detach())

    mixed = total(mixed=[(batch.target, share), (other, 1 - share)])
    parts = total(sample_weight=share) + total(target=other, sample_weight=1 - share)
    np.testing.assert_allclose(mixed, parts, rtol=1e-6)


def test_gist() -> None:
    """Random rows by one set of centres, balanced rows by the other, both through the backbone."""
    built = stage("gist", 1)
    batch = first_batch(built)
    head, model = built.ctx.model.head, built.ctx.model
    other = batch.extra["balanced"]
    assert np.bincount(built.feed.plan(0).orders[""]).max() <= 1
    drawn = built.ctx.data.labels[built.feed.plan(0).orders["balanced"]]
    assert np.ptp(np.bincount(drawn, minlength=4)) <= 4, "four rows of each class in turn"
    with torch.no_grad():
        head.displacements.copy_(
            torch.randn(4, model.features, generator=torch.Generator().manual_seed(0))
        )
        head.log_scale.fill_(np.log(9.0))
        head.random_log_scale.fill_(np.log(20.0))
    h = array(model(torch.cat([batch.views[0], other.views[0]])).features)
    d = np.concatenate([array(head.displacements), np.zeros((1, model.features))])

    def loss(h: Array, centres: Tensor, tau: float, y: Array) -> float:
        points = array(centres)[:, None] + d
        points /= np.linalg.norm(points, axis=2, keepdims=True)
        cosines = np.einsum("bd,csd->bcs", h / np.linalg.norm(h, axis=1, keepdims=True), points)
        z = tau * cosines.max(2)
        return float(-log_softmax(z, axis=1)[np.arange(len(y)), y].mean())

    n = len(batch)
    first = loss(h[:n], head.random, 20, batch.target.numpy())
    second = loss(h[n:], head.weight, 9, other.target.numpy())
    terms = built.objective.terms(built.ctx, batch)
    np.testing.assert_allclose(float(terms.total.detach()), first + 0.5 * second, rtol=1e-4)
    terms.total.backward()
    assert head.displacements.grad.abs().sum() > 0
    only = stage("gist", 1, strength=0.0)
    only.objective.terms(only.ctx, first_batch(only)).total.backward()
    assert only.ctx.model.head.weight.grad.abs().sum() == 0, "random rows leave w^c alone"


def test_gist_pretrains_without_displacements() -> None:
    built = stage("gist", 0)
    assert not built.ctx.model.head.displacements.requires_grad
    trained = {n for n, p in built.ctx.model.named_parameters() if p.requires_grad}
    assert trained == {n for n, _ in built.ctx.model.named_parameters()} - {"head.displacements"}
