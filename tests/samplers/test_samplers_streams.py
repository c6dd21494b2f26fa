"""Reservoir and rejection: what they decide from labels alone, and how they train on streams."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from longtail.errors import DataError, LongtailError, UnknownNameError
from longtail.functional.orders import swapped
from longtail.samplers import RejectionSampler, Replay, Reservoir

pytestmark = pytest.mark.usefixtures("untouched_randomness")

COUNTS = [600, 200, 60, 20, 6]


def stream_of(counts, seed=0):
    y = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(seed).permutation(y).tolist()


def test_every_item_is_taken_until_the_memory_is_full() -> None:
    memory = Reservoir(10)
    assert [memory.offer(y) for y in [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]] == list(range(10))
    assert memory.held == [9, 1]


@pytest.mark.parametrize(
    ("rho", "n", "y", "expected"),
    [
        (0.0, [90, 10], 0, 10 / 90),  # m_y = 20 / 2
        (0.0, [90, 10], 1, 1.0),
        (1.0, [90, 10], 0, 20 * 0.9 / 90),
        (0.5, [81, 9], 1, 20 * 0.25 / 9),
    ],
)
def test_chance_to_enter_is_its_formula(rho, n, y, expected) -> None:
    memory = Reservoir(20, rho=rho)
    memory._grow(2)
    memory._seen[:], memory._classes = n, 2
    share = memory.shares()
    np.testing.assert_allclose(share, np.array(n) ** rho / (np.array(n) ** rho).sum())
    assert min(1.0, memory._chance((y,))) == pytest.approx(min(1.0, expected))


def test_chance_of_several_labels_weighs_the_rarest() -> None:
    memory = Reservoir(20)
    memory._grow(3)
    memory._seen[:] = [90, 12, 11]
    weight = np.exp(-np.array([12.0, 11.0]) + 11)
    expected = (weight * np.minimum(1, 20 / 3 / np.array([12.0, 11.0]))).sum() / weight.sum()
    assert memory._chance((1, 2)) == pytest.approx(expected)
    memory._seen[:] = [90_000, 80_000, 80_001]  # no overflow, no underflow to nothing
    assert 0 < memory._chance((0, 1)) < 1e-3


def test_the_class_that_leaves_is_picked_by_its_excess() -> None:
    memory = Reservoir(6)
    for y in [0, 0, 0, 1, 1, 2]:
        memory.offer(y)
    over = np.array([3, 2, 1]) - 2.0
    expected = np.exp(over) / np.exp(over).sum()
    picked = Counter(
        memory.labels[memory._leaving(u, 0.0)][0] for u in (np.arange(4000) + 0.5) / 4000
    )
    got = np.array([picked[c] for c in range(3)]) / 4000
    np.testing.assert_allclose(got, expected, atol=1e-3)
    slots = {memory._leaving(0.1, v) for v in (0.0, 0.4, 0.99)}
    assert slots == {0, 1, 2}  # any of the class


def test_of_several_labels_the_one_that_helps_no_rare_class_leaves() -> None:
    memory = Reservoir(5)
    for own in [(0, 1), (0,), (0, 2), (0,), (0,)]:
        memory.offer(own)
    slot = memory._leaving(0.01, 0.5)
    assert memory.labels[slot] == (0,)


def test_memory_is_even_and_complete_over_a_long_tail() -> None:
    held = np.zeros(5)
    for seed in range(20):
        memory = Reservoir(50, seed=seed)
        for y in stream_of(COUNTS, seed):
            slot = memory.offer(y)
            assert slot is None or 0 <= slot < 50
        held += memory.held
        assert sum(memory.held) == len(memory.labels) == 50
        assert Counter(own[0] for own in memory.labels) == Counter(dict(enumerate(memory.held)))
    held /= 20
    assert held[4] > 5.5  # all six, hardly one ever left
    assert np.abs(held[:4] - (50 - held[4]) / 4).max() < 1.0
    natural = Reservoir(50, rho=1.0)
    for y in stream_of(COUNTS):
        natural.offer(y)
    assert natural.held[0] > 25


def test_reservoir_goes_on_from_its_state() -> None:
    labels = stream_of(COUNTS)
    whole, first = Reservoir(30, seed=4), Reservoir(30, seed=4)
    expected = [whole.offer(y) for y in labels]
    assert [first.offer(y) for y in labels[:400]] == expected[:400]
    state = json.loads(json.dumps(first.state_dict()))
    second = Reservoir(30)
    second.load_state_dict(state)
    assert [second.offer(y) for y in labels[400:]] == expected[400:]
    assert second.state_dict() == whole.state_dict()
    with pytest.raises(LongtailError, match="30 slots"):
        Reservoir(31).load_state_dict(state)


class Rows(IterableDataset):
    """Items ``(x, y)`` that are only ever seen in passing."""

    def __init__(self, labels, through) -> None:
        self.labels, self.through = labels, through

    def __iter__(self):
        items = ((torch.full((3,), float(y)), y) for y in self.labels)
        return iter(self.through(items))


def test_replay_of_a_stream_in_a_loader() -> None:
    labels = stream_of(COUNTS)
    data = Rows(labels, Reservoir(60).replay)
    seen = torch.cat([y for _, y in DataLoader(data, 64, generator=torch.Generator())])
    assert len(seen) == 2 * len(labels)
    assert seen[::2].tolist() == labels
    memory = torch.bincount(seen[1::2]) / len(labels)
    assert float(memory[0]) < 0.5 < COUNTS[0] / sum(COUNTS)
    assert float(memory[3]) > 3 * COUNTS[3] / sum(COUNTS)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("target", [None, [5, 4, 3, 2, 1], {0: 0.5, 1: 0.5, 2: 0, 3: 0, 4: 0}])
def test_rejection_gives_the_target_ratio(known, target) -> None:
    labels = stream_of([2000, 1000, 600, 400, 200], 3)
    gate = RejectionSampler(target, counts=[10, 5, 3, 2, 1] if known else None, seed=1)
    data = Rows(labels, gate.filter)
    seen = torch.cat([y for _, y in DataLoader(data, 32, generator=torch.Generator())])
    wanted = np.ones(5) if target is None else np.array([target[c] for c in range(5)], float)
    wanted /= wanted.sum()
    got = np.bincount(seen, minlength=5) / len(seen)
    noise = 5 * np.sqrt(wanted * (1 - wanted) / len(seen))
    assert (np.abs(got - wanted) <= noise + (0 if known else 0.02)).all()
    most = (wanted / np.array([10, 5, 3, 2, 1])).max() * 21
    assert len(seen) / len(labels) == pytest.approx(1 / most, rel=0.15)  # as many as can pass


def test_rejection_goes_on_from_its_state() -> None:
    labels = stream_of(COUNTS)
    whole, first, second = (RejectionSampler(seed=2) for _ in range(3))
    expected = [whole.accept(y) for y in labels]
    assert [first.accept(y) for y in labels[:300]] == expected[:300]
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert [second.accept(y) for y in labels[300:]] == expected[300:]
    assert True in expected
    assert False in expected


@pytest.mark.parametrize(
    "call",
    [
        lambda: Reservoir(0),
        lambda: Reservoir(10, rho=1.5),
        lambda: Reservoir(1).offer([]),
        lambda: Reservoir(1).offer(-1),
        lambda: RejectionSampler([0.0, 0.0]),
        lambda: RejectionSampler([1.0, float("nan")]),
        lambda: RejectionSampler(counts=[-1, 2]),
        lambda: RejectionSampler([1, 1]).accept(2),
        lambda: RejectionSampler({0: 1, 5: 1}, counts=[3, 4]),
        lambda: RejectionSampler(counts=[3, 0]).accept(1),
        lambda: RejectionSampler("ab"),
        lambda: RejectionSampler(3),
        lambda: RejectionSampler({"cat": 1}),
        lambda: RejectionSampler([1, None]),
        lambda: RejectionSampler(counts=["a", 1]),
        lambda: RejectionSampler(seed="a"),
        lambda: RejectionSampler().accept(torch.tensor([0, 1])),
        lambda: list(RejectionSampler().filter([{"label": 1}])),
        lambda: RejectionSampler().load_state_dict({}),
        lambda: Reservoir(3).load_state_dict({}),
        lambda: Reservoir(float("nan")),
        lambda: Reservoir(float("inf")),
        lambda: Reservoir("a"),
        lambda: Reservoir(2.5),
        lambda: Reservoir(10, rho="a"),
        lambda: Reservoir(10).offer(1e300),
        lambda: Replay(0.0),
        lambda: Replay(1.5),
        lambda: Replay(rho=-0.1),
        lambda: Replay(2, labels=[0, 1, 2]),
    ],
)
def test_refusals_have_two_lines(call) -> None:
    with pytest.raises(LongtailError) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    "bad", [1.7, float("nan"), "cat", None, [0, 1.5], ["a"], [[0, 1]], torch.tensor([0.5])]
)
def test_a_label_that_is_no_class_id(bad) -> None:
    memory, gate = Reservoir(3), RejectionSampler()
    before = memory.state_dict()
    with pytest.raises(DataError, match="has the label"):
        memory.offer(bad)
    with pytest.raises(DataError, match="has the label"):
        gate.accept(bad)
    assert memory.state_dict() == before


@pytest.mark.parametrize("form", [torch.tensor, np.array, list, set])
def test_labels_of_every_container_decide_alike(form) -> None:
    """Ids count, not the objects that hold them; the state is plain data."""
    rng = np.random.default_rng(0)
    items = [rng.choice(4, size=1 + rng.integers(2), replace=False).tolist() for _ in range(120)]
    plain, other, single = Reservoir(12, seed=3), Reservoir(12, seed=3), Reservoir(12, seed=3)
    expected = [plain.offer(tuple(own)) for own in items]
    assert [other.offer(form(own)) for own in items] == expected
    assert json.loads(json.dumps(other.state_dict())) == plain.state_dict()
    one = Reservoir(12, seed=3)
    for y in stream_of([40, 9, 3]):
        kinds = [torch.tensor(y), np.int32(y), np.array(y), float(y), torch.tensor([y])]
        slots = {one.offer(y), single.offer(kinds[one.offers % len(kinds)])}
        assert len(slots) == 1
    gates = RejectionSampler(seed=1), RejectionSampler(seed=1)
    for y in stream_of([40, 9, 3]):
        assert gates[0].accept(y) == gates[1].accept(torch.tensor(y))


def test_a_class_too_many_changes_nothing() -> None:
    memory = Reservoir(2)
    memory.offer(0)
    memory.offer(5)
    before = memory.state_dict()
    for _ in range(2):
        with pytest.raises(DataError, match="more than 2 classes"):
            memory.offer([0, 9])
    assert memory.state_dict() == before
    memory.offer(0)


@pytest.mark.parametrize("options", [{"target": {0: 3, 1: 1}}, {"counts": [5.0, 1.0]}])
def test_rejection_takes_seed_and_target_along(options) -> None:
    labels = stream_of([80, 40])
    whole, first = (RejectionSampler(**options, seed=7) for _ in range(2))
    expected = [whole.accept(y) for y in labels]
    assert [first.accept(y) for y in labels[:50]] == expected[:50]
    second = RejectionSampler([1, 9], seed=1)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert [second.accept(y) for y in labels[50:]] == expected[50:]


def test_more_classes_than_slots() -> None:
    memory = Reservoir(2)
    memory.offer(0)
    memory.offer(1)
    with pytest.raises(DataError, match="more than 2 classes"):
        memory.offer(2)
    with pytest.raises(UnknownNameError, match="did you mean '11'"):
        RejectionSampler({11: 1.0, 2: 1.0}).accept(111)


def sides(rows, of, seed=1, turn=0):
    """Stream and memory of a pass."""
    pairs = rows.reshape(-1, 2).numpy().copy()
    second = swapped(turn * of + np.arange(of), seed, "pair")
    pairs[second] = pairs[second, ::-1]
    return pairs[:, 0].tolist(), pairs[:, 1].tolist()


def test_replay_takes_turns_with_the_stream() -> None:
    y = torch.tensor(stream_of([60, 25, 10, 4]))
    sampler = Replay(20, labels=y, seed=1)
    one = torch.cat([sampler.draw(0), sampler.draw(1)])
    stream, memory = sides(one, len(y))
    assert sorted(stream) == list(range(len(y)))  # the stream: each row once
    assert sampler.slots == 20
    shown: set[int] = set()
    for row, kept in zip(stream, memory, strict=True):
        shown.add(row)
        assert kept in shown  # the memory holds what has passed
    two = torch.cat([sampler.draw(2), sampler.draw(3)])
    assert sides(two, len(y), turn=1)[0] != stream
    fresh = Replay(20, labels=y, seed=1)
    assert torch.equal(fresh.draw(3), two[len(y) :])


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_replay_gives_every_rank_both_sides(ranks) -> None:
    y = torch.tensor(stream_of([900, 90, 10]))
    whole = Replay(60, labels=y)
    share = whole.class_marginal().numpy()
    for rank in range(ranks):
        own = Replay(60, labels=y, num_replicas=ranks, rank=rank)
        seen = np.zeros(3)
        for epoch in range(4):
            own.set_epoch(epoch)
            seen += np.bincount(y[list(own)], minlength=3)
        assert abs(seen[0] / seen.sum() - share[0]) < 0.06
