"""Bilateral sampling and the curriculum: worked numbers, halves, passes, frequencies."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from longtail import create
from longtail.errors import LongtailError
from longtail.samplers import Bilateral, Curriculum

pytestmark = pytest.mark.usefixtures("untouched_randomness")

COUNTS = [40, 13, 5, 2]


def labels_of(counts, seed=0):
    y = np.repeat(np.arange(len(counts)), counts)
    return torch.from_numpy(np.random.default_rng(seed).permutation(y))


def test_worked_marginals():
    y = labels_of([100, 10, 1])
    even = Bilateral(labels=y).class_marginal()
    np.testing.assert_allclose(even, (0.171171, 0.211712, 0.617117), atol=1e-6)
    rows = Bilateral("rows", labels=y).class_marginal()
    np.testing.assert_allclose(rows, (0.454955, 0.090090, 0.454955), atol=1e-6)


def test_the_reversed_half_is_recorded(golden):
    cases = [c for c in golden("bbn") if "class_prob" in c["outputs"]]
    assert cases
    for case in cases:
        n = np.array(case["class_counts"], float)
        both = Bilateral("rows", labels=labels_of(case["class_counts"])).class_marginal().numpy()
        np.testing.assert_allclose(2 * both - n / n.sum(), case["outputs"]["class_prob"], rtol=1e-6)


@pytest.mark.parametrize("uniform", ["classes", "rows"])
@pytest.mark.parametrize("counts", [COUNTS, [40, 13, 5, 3]])
def test_each_stream_has_its_half_and_its_frequencies(uniform, counts):
    """Each pair has one of either, without a break between epochs, also where N is odd."""
    y, n = labels_of(counts), np.array(counts, float)
    sampler = Bilateral(uniform, labels=y, seed=4)
    rows = torch.cat([sampler.draw(e) for e in range(200)])
    back = sampler.is_reversed(np.arange(len(rows)))
    assert (back[0::2] != back[1::2]).all()
    halves = {True: y[rows[~back]], False: y[rows[back]]}
    first = np.full(4, 0.25) if uniform == "classes" else n / n.sum()
    seen = np.bincount(halves[True], minlength=4)
    if uniform == "classes":
        assert stats.chisquare(seen, first * seen.sum()).pvalue > 1e-3
    else:
        turns = rows[~back][: len(rows) // 2 // len(y) * len(y)].reshape(-1, len(y))
        assert all(torch.equal(t.sort().values, torch.arange(len(y))) for t in turns)
        assert len({tuple(t.tolist()) for t in turns}) == len(turns)
    reverse = np.bincount(halves[False], minlength=4)
    assert stats.chisquare(reverse, (1 / n) / (1 / n).sum() * reverse.sum()).pvalue > 1e-3


def test_half_of_every_batch_and_both_streams_on_every_rank():
    """Whatever pairs are cut out, half of them are of either stream; any stride sees both."""
    y = labels_of([900, 60, 2])
    sampler = Bilateral("rows", labels=y)
    drawn, back = sampler.draw(0), sampler.is_reversed(np.arange(len(y)))
    assert (back[: len(y) // 64 * 64].reshape(-1, 64).sum(1) == 32).all()
    for ranks in (1, 2, 3, 4, 8):
        parts = [
            list(Bilateral("rows", labels=y, num_replicas=ranks, rank=r)) for r in range(ranks)
        ]
        for r, part in enumerate(parts):
            assert part == drawn[r::ranks].tolist()
            rare = float((y[part] == 2).double().mean())  # 0.967 of the reversed stream
            assert abs(rare - 0.967 / 2) < 5 * math.sqrt(0.25 / len(part)), (ranks, r)


@pytest.mark.parametrize("uniform", ["classes", "rows"])
def test_a_rank_makes_its_own_draws_only(uniform, monkeypatch):
    """Two tables are asked for no more than each one's part, whatever the stride."""
    y = labels_of([900, 60, 3])
    asked = []
    table = Bilateral(uniform, labels=y)._reversed.__class__
    rows = table.rows
    monkeypatch.setattr(table, "rows", lambda s, o, k, n: asked.append(len(n)) or rows(s, o, k, n))
    for step in (1, 2, 3, 8):
        for epoch in (0, 1, 2):  # N is odd: an epoch may begin with the second of a pair
            asked.clear()
            fresh = Bilateral(uniform, labels=y, seed=2)
            part = fresh.draw(epoch, 5, 900, step)
            assert sum(asked) <= 2 * len(part) + 4
            assert torch.equal(part, fresh.draw(epoch)[5:900:step])


FORMS = {
    "linear": lambda t: 1 - t,
    "convex": lambda t: math.cos(math.pi * t / 2),
    "concave": lambda t: 0.01**t,
    "composite": lambda t: 0.5 * math.cos(math.pi * t) + 0.5,
}


@pytest.mark.parametrize("schedule", FORMS)
def test_the_curriculum_follows_its_schedule(schedule):
    y, n, epochs = labels_of(COUNTS), np.array(COUNTS, float), 200
    sampler = Curriculum(schedule, labels=y, epochs=epochs, seed=1)
    expected, seen = np.zeros(4), np.zeros(4)
    for e in range(epochs):
        p = n ** FORMS[schedule](e / (epochs - 1))
        np.testing.assert_allclose(sampler.class_marginal(sampler.at(e)), p / p.sum(), rtol=1e-9)
        expected += p / p.sum() * len(y)
        seen += np.bincount(y[sampler.draw(e)], minlength=4)
    assert stats.chisquare(seen, expected).pvalue > 1e-3
    np.testing.assert_allclose(sampler.class_marginal(0.0), n / n.sum())


def test_worked_curriculum():
    """F1 half-way through a linear schedule is square-root sampling."""
    sampler = Curriculum("linear", labels=labels_of([100, 10, 1]), epochs=3)
    half = sampler.class_marginal(sampler.at(1))
    np.testing.assert_allclose(half, (0.706101, 0.223289, 0.070610), atol=1e-6)
    np.testing.assert_allclose(sampler.class_marginal(sampler.at(2)), np.full(3, 1 / 3))
    assert Curriculum(labels=[0, 1], epochs=1).at(0) == 1.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: Bilateral("class"),
        lambda: create("sampler", "bilateral", uniforn="rows"),
        lambda: Curriculum("cosine"),
        lambda: Curriculum(left=0.0),
        lambda: Curriculum(left=float("nan")),
        lambda: Curriculum(labels=[0, 1]).draw(0),
        lambda: Bilateral(labels=[0, 2]),
    ],
)
def test_refusals_have_two_lines(call):
    with pytest.raises(LongtailError) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 2
