"""Orders known point by point: permutations, uniform, the same in any part."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from longtail.functional.orders import (
    cycles,
    hashed,
    ordered,
    permuted,
    primes_from,
    scattered,
    turned,
)

pytestmark = pytest.mark.usefixtures("untouched_randomness")


def even(found: np.ndarray, boxes: int) -> float:
    return float(stats.chisquare(np.bincount(found, minlength=boxes)).pvalue)


def test_hashed_is_splitmix64() -> None:
    def word(state: int) -> int:
        mask = (1 << 64) - 1
        z = (state + 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    key = 1234567
    expected = [word((key + i * 0x9E3779B97F4A7C15) & ((1 << 64) - 1)) for i in range(5)]
    assert hashed(key, np.arange(5)).tolist() == expected
    assert expected[0] == 6457827717110365317  # first output of the published generator


def test_cycles_are_uniform_over_all_orders() -> None:
    table = cycles(7, np.arange(24_000), 4)
    assert (np.sort(table, axis=1) == np.arange(4)).all()
    orders = {p: i for i, p in enumerate(itertools.permutations(range(4)))}
    assert even(np.array([orders[tuple(row)] for row in table.tolist()]), 24) > 1e-3
    assert np.array_equal(cycles(7, np.array([9, 3]), 4), table[[9, 3]])
    assert cycles(7, np.arange(3), 1).tolist() == [[0], [0], [0]]


@pytest.mark.parametrize("length", [2, 5, 4097, 8142, 131_073])
def test_scattered_is_a_permutation(length: int) -> None:
    whole = scattered(np.arange(length), length, 3, "x")
    assert np.array_equal(np.sort(whole), np.arange(length))
    some = np.arange(1, length, 3)
    assert np.array_equal(scattered(some, length, 3, "x"), whole[some])


@pytest.mark.parametrize("length", [4097, 5000, 131_073, 1_000_000])
def test_scattered_is_even_over_keys(length: int) -> None:
    """Places of single elements and of pairs, and how neighbours follow one another."""
    index = np.array([0, 1, 2, 7, length // 2, length // 2 + 1, length - 2])
    places = np.array([scattered(index, length, "even", k) for k in range(4000)])
    box = places * 16 // length
    found = [even(box[:, i], 16) for i in range(len(index))]
    for i, j in itertools.combinations(range(len(index)), 2):
        found += [even(box[:, i] * 16 + box[:, j], 256)]
        found += [even((places[:, i] - places[:, j]) % length * 16 // length, 16)]
    second = (places[:, 0] - 2 * places[:, 1] + places[:, 2]) % length
    found += [even(second * 16 // length, 16)]
    whole = scattered(np.arange(length), length, "one") * 16 // length
    found += [even(whole[:-lag] * 16 + whole[lag:], 256) for lag in (1, 2, 3, 64, 1024)]
    found += [even((whole[:-2] * 16 + whole[1:-1]) * 16 + whole[2:], 4096)]
    assert min(found) > 1e-3 / len(found)


def test_ordered_is_the_same_in_any_part() -> None:
    for length in (3, 40, 4096, 4097, 5003):
        index = np.arange(length // 2, length // 2 + 4 * length)
        whole = ordered(index // length, index % length, length, 5, "list")
        cut = index[:: length + 1]
        part = ordered(cut // length, cut % length, length, 5, "list")
        assert np.array_equal(part, whole[:: length + 1])
        middle = whole[length - length // 2 :][:length]
        assert np.array_equal(np.sort(middle), np.arange(length))
    assert len(ordered(index[:0], index[:0], 7, 5)) == 0


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9, 24, 100])
@pytest.mark.parametrize("rounds", [1, 2])
def test_turned_is_a_permutation_with_even_places(size: int, rounds: int) -> None:
    trials = 30_000
    key = np.repeat(hashed(3, np.arange(trials)), size)
    slot, sizes = np.tile(np.arange(size), trials), np.full(trials * size, size)
    table = turned(slot, sizes, primes_from(sizes), key, rounds).reshape(trials, size)
    assert (np.sort(table, axis=1) == np.arange(size)).all()
    for i in range(min(size, 4) if size > 1 else 0):
        assert even(table[:, i], size) > 1e-4
    for i, j in itertools.combinations(range(min(size, 4)), 2):
        apart = np.bincount((table[:, i] - table[:, j]) % size, minlength=size)
        assert apart[0] == 0
        mean, most = trials / (size - 1), {1: 0.5, 2: 0.05}[rounds]
        assert (np.abs(apart[1:] - mean) <= most * mean + 5 * np.sqrt(mean)).all()


def test_turned_has_many_orders() -> None:
    for size, orders in ((2, 2), (3, 6), (4, 24)):
        key = hashed(1, np.arange(5000))
        rows = [
            turned(np.full(5000, s), np.full(5000, size), primes_from(np.full(5000, size)), key)
            for s in range(size)
        ]
        assert len(set(zip(*map(np.ndarray.tolist, rows), strict=True))) >= orders


def test_primes_from() -> None:
    sizes = np.array([[0, 1, 2, 3, 4], [90, 97, 98, 7920, 100_000_000]])
    expected = [[2, 2, 2, 3, 5], [97, 97, 101, 7927, 100_000_007]]
    assert primes_from(sizes).tolist() == expected


def test_permuted_is_exact_where_it_is_short() -> None:
    first = np.array([permuted(np.arange(3), 3, "p", k) for k in range(6000)])
    orders = {p: i for i, p in enumerate(itertools.permutations(range(3)))}
    assert even(np.array([orders[tuple(row)] for row in first.tolist()]), 6) > 1e-3
    long = (1 << 17) + 1
    assert np.array_equal(np.sort(permuted(np.arange(long), long, 1)), np.arange(long))
