"""Passes to counts, and repeat factors."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import torch
from scipy import stats

from longtail import create
from longtail.engine.overrides import resolve_recipe
from longtail.engine.runner import RunConfig, fit
from longtail.engine.stage import Recipe
from longtail.errors import LongtailError, UnknownNameError
from longtail.functional import image_repeat_factor, repeat_factor
from longtail.registry import instantiate
from longtail.samplers import RandomOver, RandomUnder, RepeatFactor, ToCounts

pytestmark = pytest.mark.usefixtures("untouched_randomness")


def labels_of(counts: list[int]) -> torch.Tensor:
    y = np.repeat(np.arange(len(counts)), counts)
    return torch.from_numpy(np.random.default_rng(0).permutation(y))


Y = labels_of([50, 9, 4])


def passes(sampler, length: int, number: int) -> np.ndarray:
    epochs = -(-length * number // sampler.size)
    rows = torch.cat([sampler.draw(e) for e in range(epochs)]).numpy()
    return rows[: length * number].reshape(number, length)


@pytest.mark.parametrize(
    ("sampler", "counts"),
    [
        (RandomOver(), [50, 50, 50]),
        (RandomOver(20), [50, 20, 20]),
        (RandomOver(0.2), [50, 10, 10]),
        (RandomOver({1: 30}), [50, 30, 4]),
        (RandomUnder(), [4, 4, 4]),
        (RandomUnder(7), [7, 7, 4]),
        (RandomUnder({"0": 0.5}), [25, 9, 4]),
        (ToCounts(6, 20), [20, 9, 6]),
        (ToCounts(target={0: 5, 2: 30}), [5, 9, 30]),
        (ToCounts(0.1, 0.5), [25, 9, 5]),
    ],
)
def test_passes_hold_what_was_asked_for(sampler, counts: list[int]) -> None:
    sampler.bind_labels(Y, 3, 4)
    n = np.bincount(Y)
    seen = np.zeros(len(Y), dtype=int)
    for one in passes(sampler, sum(counts), 40):
        assert np.bincount(Y[one]).tolist() == counts
        times = np.bincount(one, minlength=len(Y))
        seen += times
        for c in range(3):
            own = times[Y.numpy() == c]
            if counts[c] <= n[c]:
                assert own.max() == 1  # without replacement
            else:
                assert own.min() >= 1  # all rows, and more of them
    for c in range(3):
        own = seen[Y.numpy() == c]
        assert own.max() == own.min() or stats.chisquare(own).pvalue > 1e-3
    np.testing.assert_allclose(sampler.class_marginal(), np.array(counts) / sum(counts))


def test_over_sampling_shows_all_head_rows_where_class_balanced_does_not() -> None:
    one = passes(RandomOver(labels=Y), 150, 1)[0]
    assert set(np.flatnonzero(Y == 0).tolist()) <= set(one.tolist())
    drawn = create("sampler", "class_balanced", labels=Y)
    other = torch.cat([drawn.draw(e) for e in range(3)])[:150]
    assert len(set(other[Y[other] == 0].tolist())) < 50


@pytest.mark.parametrize(
    "call",
    [
        lambda: RandomOver(0),
        lambda: RandomOver(2.5),
        lambda: RandomOver(float("nan")),
        lambda: RandomUnder({0: -3}),
        lambda: RandomUnder({0: "many"}),
        lambda: RandomUnder([1, 2]),
        lambda: RandomUnder([]),
        lambda: RandomOver({0: None}),
        lambda: ToCounts(True),
        lambda: ToCounts(9, 3, labels=Y),
        lambda: RandomOver({0: 49}, labels=Y),
        lambda: RandomUnder({2: 5}, labels=Y),
        lambda: RepeatFactor(0.0),
        lambda: RepeatFactor(-1e-3),
        lambda: repeat_factor([0.5, 1.5]),
        lambda: repeat_factor([0.5, 0.5], 0.0),
    ],
)
def test_refusals_have_two_lines(call) -> None:
    with pytest.raises(LongtailError) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 2


def test_unknown_classes_suggest_the_nearest() -> None:
    y = labels_of([3] * 12)
    with pytest.raises(UnknownNameError, match="did you mean '11'"):
        ToCounts(target={111: 5}, labels=y)
    with pytest.raises(UnknownNameError, match="choose one of"):
        RandomOver({"cat": 5}, labels=Y)
    late = RandomOver({1: 5})
    with pytest.raises(UnknownNameError):  # a class without rows cannot be drawn more often
        late.bind_labels(torch.tensor([0, 2]), 3, 0)


def test_worked_repeat_factors() -> None:
    got = repeat_factor([0.01, 0.001, 0.0005, 0.00025, 0.0], 1e-3)
    np.testing.assert_allclose(got, [1, 1, 1.414214, 2, 1], atol=1e-6)
    assert image_repeat_factor([[], [0]], 1).tolist() == [1.0, 1.0]


def test_recorded_repeat_factors(golden) -> None:
    for case in golden("repeat_factor"):
        images, t = case["inputs"]["image_labels"], case["params"]["repeat_thresh"]
        c = 1 + max(max(own, default=0) for own in images)
        share = np.array([case["outputs"]["category_freq"].get(str(j), 0) for j in range(c)])
        expected = [case["outputs"]["category_repeat"].get(str(j), 1.0) for j in range(c)]
        np.testing.assert_allclose(repeat_factor(share, t), expected, rtol=1e-9)
        got = image_repeat_factor(images, c, t)
        np.testing.assert_allclose(got, case["outputs"]["image_repeat"], rtol=1e-9)
        length = case["outputs"]["expected_epoch_length"]
        np.testing.assert_allclose(got.sum(), length, rtol=1e-9)
        if not case["params"]["multi_label"]:
            y = [own[0] for own in images]
            sampler = RepeatFactor(t, labels=y)
            np.testing.assert_allclose(sampler.factors, expected, rtol=1e-9)
            np.testing.assert_allclose(sampler.factors[y], got, rtol=1e-9)
            lengths = [sampler.begins(k + 1) - sampler.begins(k) for k in range(400)]
            assert max(lengths) - min(lengths) <= c
            assert abs(np.mean(lengths) - length) <= c / 400


def test_repeat_factor_passes() -> None:
    """Each row comes floor or ceil of its factor a pass, and the factor on the mean."""
    y = labels_of([60, 25, 10, 4, 1])
    sampler = RepeatFactor(0.3, labels=y, seed=2)
    factor = sampler.factors
    np.testing.assert_allclose(factor, np.sqrt(np.maximum(1, 0.3 / np.array([0.6, 0.25, 0.1, 0.04, 0.01]))))  # fmt: skip
    number = 400
    ends = [sampler.begins(k) for k in range(number + 1)]
    epochs = -(-ends[-1] // sampler.size)
    rows = torch.cat([sampler.draw(e) for e in range(epochs)]).numpy()
    times = np.array(
        [np.bincount(rows[a:b], minlength=len(y)) for a, b in itertools.pairwise(ends)]
    )
    assert (times >= np.floor(factor[y])).all()
    assert (times <= np.ceil(factor[y])).all()
    left = factor - np.floor(factor)
    for c in range(5):
        own = times[:, y.numpy() == c]
        extra = own.sum(1) - own.shape[1] * np.floor(factor[c])  # dealt out evenly over passes
        assert extra.max() - extra.min() <= 1
        assert abs(own.mean() - factor[c]) <= 1 / (number * own.shape[1]) + 1e-9
        if left[c] and own.shape[1] > 1:
            assert stats.chisquare((own - np.floor(factor[c])).sum(0)).pvalue > 1e-3
    first = rows[: ends[1]]
    assert not np.array_equal(np.sort(first), first)  # shuffled
    share = sampler.class_marginal().numpy()
    seen = np.bincount(y[rows[: ends[-1]]]) / ends[-1]
    np.testing.assert_allclose(seen, share, atol=5 / ends[-1])


def test_repeat_factor_by_default_repeats_the_rarer_half() -> None:
    sampler = RepeatFactor(labels=labels_of([60, 25, 10, 4, 1]))
    assert (sampler.factors > 1).tolist() == [False, False, False, True, True]
    even = RepeatFactor(labels=labels_of([7, 7, 7]))
    assert (even.factors == 1).all()
    assert sorted(even.draw(3).tolist()) == list(range(21))


@pytest.mark.parametrize(("rows", "some"), [(7, 3), (11, 4), (5, 2), (6, 3)])
def test_every_set_of_rows_comes(rows: int, some: int) -> None:
    """Also where a class has a prime number of rows; none is much rarer than the others."""
    y = labels_of([rows, some])
    sampler = RandomUnder(labels=y)
    number = 4000
    head = y.numpy() == 0
    seen: dict[tuple[int, ...], int] = {}
    for one in passes(sampler, 2 * some, number):
        own = tuple(sorted(one[head[one]].tolist()))
        seen[own] = seen.get(own, 0) + 1
    assert len(seen) == math.comb(rows, some)
    mean = number / len(seen)
    assert max(seen.values()) < mean + 8 * math.sqrt(mean)


def test_under_sampling_may_keep_one_draw() -> None:
    """``refresh=False``: the same rows in every pass, in a new order; else all rows come."""
    y = labels_of([50, 9, 4])
    once = passes(RandomUnder(refresh=False, labels=y, seed=3), 12, 30)
    assert len({tuple(sorted(p.tolist())) for p in once}) == 1
    assert len({tuple(p.tolist()) for p in once}) == 30
    assert np.bincount(y[once[0]]).tolist() == [4, 4, 4]
    other = passes(RandomUnder(refresh=False, labels=y, seed=4), 12, 1)
    assert set(other[0].tolist()) != set(once[0].tolist())
    assert len(np.unique(passes(RandomUnder(labels=y, seed=3), 12, 200))) == len(y)


def test_a_pass_below_a_batch_is_said() -> None:
    sampler = RandomUnder(labels=Y)
    assert sampler.notes(12) == []
    (note,) = sampler.notes(13)
    assert "12 rows a pass" in note
    assert RandomOver(labels=Y).notes(1000) == []
    config = RunConfig(
        "digits-lt", "rus", set=("target=3",), epochs=1, batch_size=64, device="cpu", progress=False
    )
    assert any("29 rows a pass" in note for note in fit(config).metrics["notes"])


def test_targets_of_every_number_and_form() -> None:
    y = labels_of([50, 9, 4])
    for whole in (np.int64(6), np.float32(6), torch.tensor(6), 6.0):
        assert ToCounts(whole, whole, labels=y).wanted().tolist() == [6, 6, 6]
        assert RandomOver(whole, labels=y).wanted().tolist() == [50, 9, 6]
        assert RandomUnder({0: whole}, labels=y).wanted().tolist() == [6, 9, 4]
    assert RandomUnder([[0, 6], [1, 5]], labels=y).wanted().tolist() == [6, 5, 4]


@pytest.mark.parametrize("name", ["ros", "rus"])
def test_recipes_take_a_target_by_class(name: str) -> None:
    rows = {0: 100, "1": 95} if name == "ros" else {0: 100, "1": 0.9}
    made = resolve_recipe(name, target=rows)
    (stage,) = made.stages
    assert hash(stage.sampler) is not None
    again = Recipe.from_data(json.loads(json.dumps(made.to_data())))
    assert again == made
    sampler = instantiate("samplers", again.stages[0].sampler)
    assert dict(sampler.target) == rows
    wanted = sampler.bind_labels(labels_of([100, 95, 90])).wanted()
    assert wanted.tolist() == ([100, 95, 90] if name == "ros" else [100, 90, 90])
