"""Random numbers are functions of a key: reproducible, independent of order, evenly spread."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from longtail.functional.random import mix, permutation, shuffled, singles, stream, uniforms, words

pytestmark = pytest.mark.usefixtures("untouched_randomness")


def test_the_numbers_are_these_on_every_machine():
    assert words(0, "order", 3, n=2).tolist() == words(0, "order", 3, n=5).tolist()[:2]
    assert words(7, "class", 0, n=3).tolist() == FROZEN_WORDS
    assert mix(1, 2, 3).tolist() == FROZEN_MIX


FROZEN_WORDS = [2781142789490113474, 1801996826064994581, 8490379338246733585]
FROZEN_MIX = [16914669369030367833]


def test_different_keys_give_different_streams():
    keys = [(1,), (1, 0), (0, 1), ("a",), ("b",), (2**32,), (0, 0, 1), (-1,), (1, "a"), ("a", 1)]
    first = {int(words(*key, n=1)[0]) for key in keys}
    assert len(first) == len(keys)
    assert isinstance(stream(3, "x"), np.random.Philox)


def test_uniforms_are_below_one_and_uniform():
    u = uniforms("u", 5, n=20_000)
    assert u.dtype == np.float64
    assert u.min() >= 0
    assert u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-3


def test_a_single_precision_uniform_stays_below_one():
    top = np.array([[1 - 2.0**-53, 1 - 2.0**-25], [1 - 2.0**-24, 0.1]])
    assert (top.astype(np.float32)[0] == 1).all(), "rounding alone reaches 1"
    found = singles(top)
    assert found.dtype == np.float32
    assert (found[0] == 1 - 2.0**-24).all()
    assert (found[1] == top[1].astype(np.float32)).all()


@pytest.mark.parametrize("n", [1, 2, 17, 1000])
def test_permutation_holds_every_number_once(n):
    p = permutation(3, "order", 1, n=n)
    assert sorted(p.tolist()) == list(range(n))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 13, 64, 100, 1000, 40_000])
def test_shuffled_is_a_permutation_of_any_size(size):
    out = shuffled(np.arange(size), size, mix(9, size))
    assert np.array_equal(np.sort(out), np.arange(size))


def test_shuffled_takes_many_sizes_and_keys_at_once():
    sizes = np.array([1, 2, 3, 7, 30])
    size, index = np.repeat(sizes, sizes), np.concatenate([np.arange(s) for s in sizes])
    key = mix(4, size)
    together = shuffled(index, size, key)
    for s in sizes:
        alone = shuffled(np.arange(s), int(s), mix(4, np.array([s])))
        assert np.array_equal(together[size == s], alone)


@pytest.mark.parametrize("size", [2, 3, 5, 8, 12, 33])
def test_shuffled_is_even_over_keys(size):
    trials = 60_000
    key = mix(11, np.arange(trials))
    first = shuffled(np.zeros(trials, dtype=np.int64), size, key)
    assert stats.chisquare(np.bincount(first, minlength=size)).pvalue > 1e-3
    second = shuffled(np.ones(trials, dtype=np.int64), size, key)
    pairs = np.bincount(first * size + second, minlength=size * size).reshape(size, size)
    assert (pairs.diagonal() == 0).all()
    off = pairs[~np.eye(size, dtype=bool)]
    assert stats.chisquare(off).pvalue > 1e-4 or size == 2


def test_shuffled_of_nothing_is_nothing():
    assert len(shuffled(np.zeros(0, dtype=np.int64), 5, mix(0))) == 0
