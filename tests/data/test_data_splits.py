"""Tail-safe splits: worked sizes, and what holds for any counts."""

from __future__ import annotations

import numpy as np
import pytest

from longtail.data.splits import labelled_rows, split_sizes, tail_safe_split
from longtail.errors import DataError

WORKED = {  # rows -> test, validation, train
    1: (0, 0, 1),
    2: (1, 0, 1),
    3: (1, 0, 2),
    4: (1, 0, 3),
    5: (1, 1, 3),
    6: (1, 1, 4),
    8: (2, 1, 5),
    10: (2, 1, 7),
    20: (4, 2, 14),
    50: (10, 5, 35),
}


@pytest.mark.parametrize(("count", "expected"), WORKED.items())
def test_worked_sizes(count, expected):
    assert split_sizes(count, validation=True) == expected
    test, validation, train = split_sizes(count)
    assert (test, validation, train) == (expected[0], 0, count - expected[0])


def make(counts, seed=0):
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = np.random.RandomState(seed).permutation(labels)
    ids = [f"id{i}" for i in range(len(labels))]
    return labels, [f"class {c}" for c in range(len(counts))], ids


@pytest.mark.parametrize("seed", range(25))
def test_any_counts(seed, untouched_randomness):
    rng = np.random.RandomState(seed)
    counts = np.maximum(1, (600 * rng.uniform(0, 1, rng.randint(2, 30)) ** 4)).astype(int)
    labels, names, ids = make(counts, seed)
    parts = tail_safe_split(labels, names, ids, seed=seed, validation=True)
    joined = np.concatenate(list(parts.values()))
    assert sorted(joined.tolist()) == list(range(len(labels)))
    for c, n in enumerate(counts.tolist()):
        got = {k: int((labels[v] == c).sum()) for k, v in parts.items()}
        assert got["train"] >= 1
        assert got["test"] == 0 if n < 2 else got["test"] >= 1
        assert got["validation"] == 0 if n < 5 else got["validation"] >= 1
        if n <= 100:
            assert (got["test"], got["validation"], got["train"]) == split_sizes(n, validation=True)


def test_total_is_repaired_by_head_rows_only():
    counts = [1000] + [3] * 60  # 200 + 60 of 1180 without repair
    labels, names, ids = make(counts)
    test = tail_safe_split(labels, names, ids)["test"]
    assert 0.19 <= len(test) / len(labels) <= 0.21
    assert all((labels[test] == c).sum() == 1 for c in range(1, 61))


def test_adding_a_class_or_reordering_rows_moves_nothing():
    labels, names, ids = make([40, 12, 5])
    base = tail_safe_split(labels, names, ids, validation=True)
    chosen = {k: {ids[i] for i in v} for k, v in base.items()}
    order = np.random.RandomState(9).permutation(len(labels))
    mixed = tail_safe_split(labels[order], names, [ids[i] for i in order], validation=True)
    assert {k: {ids[order[i]] for i in v} for k, v in mixed.items()} == chosen
    more = np.concatenate([labels + 1, np.zeros(30, dtype=int)])  # a new class, first by id
    more_ids = [*ids, *(f"new{i}" for i in range(30))]
    wider = tail_safe_split(more, ["a new one", *names], more_ids, validation=True)
    assert {k: {more_ids[i] for i in v if more[i]} for k, v in wider.items()} == chosen


def test_seed_changes_members_not_sizes():
    labels, names, ids = make([50, 50])
    one, two = (tail_safe_split(labels, names, ids, seed=s)["test"] for s in (0, 1))
    assert len(one) == len(two) == 20
    assert set(one) != set(two)


def test_groups_stay_together():
    rng = np.random.RandomState(0)
    group = [f"g{g}" for g in rng.randint(0, 40, 500)]
    labels = rng.randint(0, 4, 500)
    names, ids = list("abcd"), [str(i) for i in range(500)]
    parts = tail_safe_split(labels, names, ids, group=group, validation=True)
    of = {k: {group[i] for i in v} for k, v in parts.items()}
    assert not of["train"] & of["test"]
    assert not of["train"] & of["validation"]
    assert not of["validation"] & of["test"]
    assert 0.12 < len(parts["test"]) / 500 < 0.28
    assert all((labels[parts["train"]] == c).any() for c in range(4))


def test_a_class_in_one_group_stays_in_training():
    labels = np.asarray([0] * 30 + [1] * 5)
    group = [f"g{i % 6}" for i in range(30)] + ["only"] * 5
    parts = tail_safe_split(labels, ["a", "b"], [str(i) for i in range(35)], group=group)
    assert (labels[parts["test"]] == 0).all()
    with pytest.raises(DataError, match="groups"):
        tail_safe_split(labels, ["a", "b"], [str(i) for i in range(35)], group=["x"] * 35)


def test_labelled_share_keeps_every_class():
    labels, names, ids = make([100, 10, 2, 1])
    kept, hidden = labelled_rows(labels, names, ids, 0.2, 0)
    assert np.bincount(labels[kept], minlength=4).tolist() == [20, 2, 1, 1]
    assert sorted([*kept.tolist(), *hidden.tolist()]) == list(range(113))
