"""Which rows an epoch draws: frequencies, passes, reproducibility, ranks, sizes."""

from __future__ import annotations

import copy
import pickle
import time
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

from longtail import create
from longtail.errors import LongtailError, UnboundPartError
from longtail.registry import get, records
from longtail.samplers import (
    ClassAware,
    ClassBalanced,
    Curriculum,
    Deferred,
    Instance,
    Power,
    Progressive,
    RandomOver,
    RandomUnder,
    Replay,
    Sampler,
)

pytestmark = pytest.mark.usefixtures("untouched_randomness")

N = [100, 10, 1]
NAMES = [r.name for r in records("samplers")]
INDEPENDENT = ["power", "class_balanced", "square_root", "reversed", "effective_number"]


def labels_of(counts, seed=0):
    y = np.repeat(np.arange(len(counts)), counts)
    return torch.from_numpy(np.random.default_rng(seed).permutation(y))


Y = labels_of(N)


def make(name, labels=Y, epochs=10, **options):
    case = {**get("samplers", name).case, **options}
    sampler = create("sampler", name, labels=labels, **case)
    sampler.epochs = epochs
    return sampler


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def test_all_samplers_are_here():
    assert len(NAMES) >= 10


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("power", {"q": 1.0}, (0.900901, 0.090090, 0.009009)),
        ("power", {"q": 0.5}, (0.706101, 0.223289, 0.070610)),
        ("square_root", {}, (0.706101, 0.223289, 0.070610)),
        ("class_balanced", {}, (1 / 3, 1 / 3, 1 / 3)),
        ("reversed", {}, (0.009009, 0.090090, 0.900901)),
        ("effective_number", {}, (0.334383, 0.332883, 0.332733)),
        ("instance", {}, (0.900901, 0.090090, 0.009009)),
        ("ros", {}, (1 / 3, 1 / 3, 1 / 3)),
        ("rus", {}, (1 / 3, 1 / 3, 1 / 3)),
        ("class_aware", {}, (1 / 3, 1 / 3, 1 / 3)),
        ("progressive", {}, (1 / 3, 1 / 3, 1 / 3)),
        ("to_counts", {}, (0.900901, 0.090090, 0.009009)),
        ("to_counts", {"low": 5, "high": 20}, (20 / 35, 10 / 35, 5 / 35)),
        ("to_counts", {"target": {0: 0.5, 2: 15}}, (50 / 75, 10 / 75, 15 / 75)),
        ("ros", {"target": 50}, (100 / 200, 50 / 200, 50 / 200)),
        ("ros", {"target": {2: 40}}, (100 / 150, 10 / 150, 40 / 150)),
        ("rus", {"target": 5}, (5 / 11, 5 / 11, 1 / 11)),
        ("rus", {"target": {"0": 0.2}}, (20 / 31, 10 / 31, 1 / 31)),
        ("repeat_factor", {}, (100 / 113.162278, 10 / 113.162278, 3.162278 / 113.162278)),
        ("repeat_factor", {"threshold": 1e-3}, (0.900901, 0.090090, 0.009009)),
    ],
)
def test_worked_marginals(name, options, expected):
    np.testing.assert_allclose(make(name, **options).class_marginal(), expected, atol=1e-6)


def test_recorded_marginals(golden):
    for case in golden("progressive_sampler"):
        p = case["params"]
        if p.get("lam") is None and p.get("cycle") == 0:
            labels = labels_of(case["class_counts"])
            sampler = Progressive(labels=labels, epochs=p["epochs"])
            got = sampler.class_marginal(sampler.at(p["epoch"]))
            np.testing.assert_allclose(got, case["outputs"]["class_prob"], rtol=1e-6)
    for name, file, key in (
        ("reversed", "bbn", "class_prob"),
        ("effective_number", "effective_number_sampler", "class_prob"),
    ):
        cases = [c for c in golden(file) if key in c["outputs"]]
        assert cases
        for case in cases:
            options = {"beta": case["params"]["beta"]} if "beta" in case["params"] else {}
            got = make(name, labels_of(case["class_counts"]), **options).class_marginal()
            np.testing.assert_allclose(got, case["outputs"][key], rtol=1e-6)


def frequencies(sampler, labels, epochs):
    rows = torch.cat([sampler.draw(e) for e in range(epochs)])
    return np.bincount(rows, minlength=len(labels)), np.bincount(labels[rows])


@pytest.mark.parametrize("name", INDEPENDENT)
def test_independent_draws_follow_their_marginal(name):
    labels = labels_of([40, 13, 5, 2])
    sampler = make(name, labels, seed=5)
    rows, classes = frequencies(sampler, labels, 200)
    share = sampler.class_marginal().numpy()
    assert stats.chisquare(classes, share * classes.sum()).pvalue > 1e-3
    each = share[labels] / np.bincount(labels)[labels] * classes.sum()
    assert stats.chisquare(rows, each).pvalue > 1e-3


def test_progressive_draws_follow_their_marginal():
    labels = labels_of([40, 13, 5, 2])
    expected, seen = np.zeros(4), np.zeros(4)
    sampler = make("progressive", labels, epochs=200)
    for epoch in range(200):
        expected += sampler.class_marginal(sampler.at(epoch)).numpy() * len(labels)
        seen += np.bincount(labels[sampler.draw(epoch)], minlength=4)
    assert stats.chisquare(seen, expected).pvalue > 1e-3
    last = np.concatenate(
        [labels[make("progressive", labels, 3, seed=s).draw(2)] for s in range(99)]
    )
    assert stats.chisquare(np.bincount(last)).pvalue > 1e-3


@pytest.mark.parametrize("name", ["ros", "rus", "class_aware"])
def test_passes_are_even_over_classes_and_rows(name):
    labels = labels_of([40, 13, 5, 2])
    rows, classes = frequencies(make(name, labels), labels, 200)
    assert classes.max() - classes.min() <= 40
    for c in range(4):
        assert stats.chisquare(rows[labels == c]).pvalue > 1e-3


def test_instance_draws_every_row_once():
    for epoch in range(3):
        assert torch.equal(Instance(labels=Y).draw(epoch).sort().values, torch.arange(len(Y)))


def walk(sampler, length, passes):
    """Whole passes, put together from the epochs they span."""
    epochs = -(-length * passes // sampler.size)
    rows = torch.cat([sampler.draw(e) for e in range(epochs)]).numpy()
    return rows[: length * passes].reshape(passes, length)


def test_over_sampling_walks_through_passes_with_every_row():
    for one in walk(RandomOver(labels=Y, seed=3), 300, 4):
        assert np.bincount(Y[one]).tolist() == [100, 100, 100]
        assert set(one.tolist()) == set(range(len(Y)))
        head = np.bincount(one, minlength=len(Y))[Y.numpy() == 0]
        assert (head == 1).all()
    extras = np.bincount(np.concatenate(walk(RandomOver(labels=Y), 300, 20)))[Y.numpy() == 1]
    assert len(set(extras.tolist())) > 1  # with replacement


def test_under_sampling_walks_through_passes_without_replacement():
    labels = labels_of([50, 9, 4])
    passes = walk(RandomUnder(labels=labels, seed=1), 12, 30)
    for one in passes:
        assert np.bincount(labels[one]).tolist() == [4, 4, 4]
        assert len(set(one.tolist())) == 12
    assert len({tuple(sorted(p.tolist())) for p in passes}) == 30  # drawn afresh each pass
    three = walk(RandomUnder(labels=Y), 3, 37)
    assert all(sorted(Y[p].tolist()) == [0, 1, 2] for p in three)


@pytest.mark.parametrize("k", [1, 4])
def test_class_aware_runs_and_cycles(k):
    labels = labels_of([10, 2, 23, 9])
    sampler = ClassAware(k, labels=labels)
    rows = torch.cat([sampler.draw(e) for e in range(400)]).numpy()
    rows = rows[: len(rows) // (4 * k) * 4 * k]
    runs = labels.numpy()[rows].reshape(-1, k)
    assert (runs == runs[:, :1]).all()
    assert (np.sort(runs[:, 0].reshape(-1, 4), 1) == np.arange(4)).all()
    orders = Counter(map(tuple, runs[:, 0].reshape(-1, 4).tolist()))
    assert len(orders) == 24
    assert stats.chisquare(list(orders.values())).pvalue > 1e-3  # uniform over all orders
    for c in range(4):
        own = rows[labels.numpy()[rows] == c]
        n = int((labels == c).sum())
        for turn in own[: len(own) // n * n].reshape(-1, n):
            assert len(set(turn.tolist())) == n


def test_class_aware_recorded(golden):
    for case in golden("class_aware_sampler"):
        labels, k = torch.tensor(case["inputs"]["labels"]), case["params"]["num_samples_cls"]
        sampler = ClassAware(k, labels=labels)
        length = case["outputs"]["length"]
        assert length == len(case["class_counts"]) * max(case["class_counts"])
        emitted = np.bincount(labels[np.concatenate(walk(sampler, length, 1))])
        assert np.abs(emitted - case["outputs"]["emitted_per_class"]).max() <= k


def test_a_draw_is_a_function_of_seed_and_epoch(name):
    sampler = make(name, seed=7)
    fresh = [make(name, seed=7).draw(e) for e in (2, 0, 1)]
    for e, expected in zip((2, 0, 1), fresh, strict=True):
        assert torch.equal(sampler.draw(e), expected)
        sampler.set_epoch(e)
        assert list(sampler) == expected.tolist()
        assert expected.dtype == torch.int64
        assert len(expected) == len(sampler) == len(Y)
    assert not torch.equal(fresh[0], fresh[1])
    assert not torch.equal(fresh[0], make(name, seed=8).draw(2))
    for twin in (copy.deepcopy(sampler), pickle.loads(pickle.dumps(sampler))):
        assert torch.equal(twin.draw(2), fresh[0])


def test_the_numbers_are_these_on_every_machine():
    assert {n: make(n, labels_of([9, 4, 2])).draw(1).tolist() for n in FROZEN} == FROZEN


FROZEN = {
    "instance": [7, 6, 10, 0, 4, 3, 14, 1, 13, 2, 9, 5, 12, 11, 8],
    "class_balanced": [0, 12, 8, 8, 12, 10, 6, 7, 11, 12, 7, 3, 8, 4, 9],
    "power": [0, 9, 14, 3, 9, 3, 7, 13, 2, 9, 10, 14, 7, 5, 8],
    "ros": [0, 8, 9, 2, 8, 14, 13, 12, 11, 9, 1, 9, 4, 3, 8],
    "rus": [12, 14, 8, 1, 7, 2, 12, 9, 8, 10, 0, 8, 11, 9, 12],
    "class_aware": [9, 0, 6, 2, 5, 8, 12, 8, 12, 9, 3, 11, 1, 12, 8],
    "progressive": [0, 9, 14, 3, 9, 3, 7, 13, 12, 9, 10, 13, 6, 5, 8],
    "to_counts": [3, 13, 2, 1, 6, 8, 5, 4, 14, 7, 10, 11, 9, 0, 12],
    "repeat_factor": [14, 2, 13, 3, 8, 14, 7, 1, 8, 12, 5, 6, 4, 10, 11],
}


@pytest.mark.parametrize("ranks", [1, 2, 4, 7])
def test_ranks_share_out_the_draw_of_one_process(name, ranks):
    whole = make(name).draw(0).tolist()
    parts = [list(make(name, num_replicas=ranks, rank=r)) for r in range(ranks)]
    assert sorted(row for p in parts for row in p) == sorted(whole)
    assert [len(p) for p in parts] == [
        len(make(name, num_replicas=ranks, rank=r)) for r in range(ranks)
    ]
    for step in range(len(whole) // ranks):  # the ranks' rows of a step are the process's
        assert [p[step] for p in parts] == whole[step * ranks : (step + 1) * ranks]
    even = [list(make(name, num_replicas=ranks, rank=r, pad=True)) for r in range(ranks)]
    assert {len(p) for p in even} == {-(-len(whole) // ranks)}
    assert len(make(name, num_replicas=ranks, rank=ranks - 1, pad=True)) == len(even[0])


def test_works_in_a_data_loader():
    data = torch.utils.data.TensorDataset(torch.arange(len(Y)), Y)
    sampler = ClassBalanced(labels=Y)
    generator = torch.Generator().manual_seed(0)
    loader = torch.utils.data.DataLoader(data, 16, sampler=sampler, generator=generator)
    rows = torch.cat([batch[0] for batch in loader])
    assert torch.equal(rows, sampler.draw(0))


def test_renaming_the_classes_renames_the_marginal(name):
    p = torch.tensor([2, 0, 1])
    counts = torch.tensor(N)
    one = make(name).class_marginal(0.5)
    other = make(name, labels_of(counts[p].tolist())).class_marginal(0.5)
    torch.testing.assert_close(one[p], other)


def test_equal_counts_give_equal_marginals(name):
    for fraction in (0.0, 0.5, 1.0):
        got = make(name, labels_of([7, 7, 7, 7])).class_marginal(fraction)
        torch.testing.assert_close(got, torch.full((4,), 0.25, dtype=torch.float64))


def test_a_class_without_rows(name):
    labels = labels_of([8, 0, 3])
    if name != "instance":
        with pytest.raises(LongtailError, match="no row to draw"):
            make(name, labels)
    sampler = create("sampler", name, **get("samplers", name).case)
    sampler.epochs = 4
    sampler.bind_labels(labels, 4, 0)
    assert sampler.class_marginal().shape == (4,)
    assert (sampler.class_marginal()[[1, 3]] == 0).all()
    rows = torch.cat([sampler.draw(e) for e in range(4)])
    assert set(labels[rows].tolist()) == {0, 2}


def test_one_row_a_class_and_one_epoch(name):
    assert make(name, torch.tensor([0, 1])).draw(3).shape == (2,)
    assert make(name, [0, 1], epochs=1).draw(0).shape == (2,)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Instance(labels=[]),
        lambda: Instance(labels=[0.5, 1.0]),
        lambda: Instance(labels=[[0, 1]]),
        lambda: Instance(labels=[0, -1]),
        lambda: Instance(labels=[0, 3], num_classes=3),
        lambda: Instance(labels=[0, 1], num_replicas=2, rank=2),
        lambda: Instance(labels=[0, 1]).draw(-1),
        lambda: Power(float("nan")),
        lambda: Progressive(3),
        lambda: Progressive(labels=[0, 1]).draw(0),
        lambda: ClassAware(0),
        lambda: ClassAware(float("nan")),
        lambda: ClassAware(float("inf")),
        lambda: ClassAware("a"),
        lambda: Progressive(epochs="a"),
        lambda: Progressive(epochs=0),
        lambda: Progressive(epochs=-1),
        lambda: Progressive(epochs=2.5),
        lambda: Deferred(epochs=0),
        lambda: Curriculum(epochs="a"),
        lambda: Replay(1, labels=[0, 1, 2]),
        lambda: Replay("a"),
        lambda: Instance(num_replicas=2.0),
        lambda: Instance(num_replicas="a"),
        lambda: Instance(num_replicas=2, rank=0.5),
        lambda: Instance(num_replicas=0),
        lambda: ClassBalanced(labels=[0, 0, 0]),
        lambda: Instance(labels=[0, 1]).check_draws([1, 1, 0], 0),
        lambda: Instance(labels=[0, 1]).check_draws("many", 0),
        lambda: Instance(labels=[0, 1]).check_draws([2, 0], 0),
        lambda: create("sampler", "effective_number", beta=1.0),
        lambda: create("sampler", "class_aware", kk=2),
        lambda: Instance().draw(0),
        lambda: len(ClassBalanced()),
    ],
)
def test_refusals_have_two_lines(call):
    with pytest.raises(LongtailError) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 2


def test_what_is_taken_all_the_same():
    Instance(labels=[0, 1]).check_draws([1, 1], 0)
    Instance(labels=[0, 1]).check_draws(torch.tensor([1, 1]), 0)
    assert ClassAware(np.int64(2), labels=[0, 1]).draw(0).shape == (2,)
    assert Instance(labels=[0, 1, 1], num_replicas=np.int64(2), rank=np.int64(1)).num_replicas == 2
    assert Instance(labels=[0, 0, 0], num_classes=2).counts.tolist() == [3, 0]


def test_an_unbound_sampler_says_what_it_needs():
    with pytest.raises(UnboundPartError, match="labels") as caught:
        ClassBalanced().class_marginal()
    assert "bind_labels" in str(pickle.loads(pickle.dumps(caught.value)))
    assert isinstance(ClassBalanced(), Sampler)
    assert "q=0.0" in repr(ClassBalanced())


@pytest.mark.parametrize(
    "name", [n for n in NAMES if n not in ("progressive", "curriculum", "deferred", "replay")]
)
def test_a_million_rows_of_eight_thousand_classes(name):
    c = 8142
    counts = np.maximum(2, 1000 * np.exp(-6 * np.arange(c) / c)).astype(int)
    counts[0] += max(0, 1_000_000 - int(counts.sum()))
    labels = np.repeat(np.arange(c), counts)
    sampler = make(name, labels)
    begin = time.perf_counter()
    rows = sampler.draw(3)
    assert time.perf_counter() - begin < 10
    assert len(rows) == len(labels) >= 1_000_000
    assert int(rows.min()) >= 0
    assert int(rows.max()) < len(labels)
    classes = np.bincount(labels[rows], minlength=c)
    expected = sampler.class_marginal().numpy() * len(labels)
    spread = (classes - expected) / np.sqrt(expected)
    assert np.abs(spread).max() < 6.5
