"""Random orders that are known point by point: a slice of one costs no more than the slice.

Everything is integer arithmetic keyed by the seed, so the same key gives the same order on every
machine, in every process, whatever part of it is asked for.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from longtail.functional.random import GOLDEN, Key, Words, finalise, permutation, words

__all__ = [
    "affine",
    "cycles",
    "hashed",
    "ordered",
    "permuted",
    "primes_from",
    "rotation",
    "scattered",
    "swapped",
    "turned",
    "wrapped",
]

Ints = NDArray[np.int64]

_MANY = 4096  # lists of which an epoch reads many
_WHOLE = 1 << 17  # a list that is an epoch
_ROUNDS = 4
_CHUNK = 1 << 14
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def hashed(key: int | Words, index: Ints) -> Words:
    """``(M,)`` 64-bit words: number ``index`` of the SplitMix64 stream that ``key`` starts.

    Reference: Steele, Lea and Flood, *Fast splittable pseudorandom number generators*,
    OOPSLA 2014.
    """
    with np.errstate(over="ignore"):
        start = np.asarray(key, dtype=np.uint64) + GOLDEN
        return finalise(index.astype(np.uint64) * GOLDEN + start)


def swapped(pair: Ints, *key: Key) -> NDArray[np.bool_]:
    """Whether the two of pair number ``pair`` change places, elementwise: a fair coin each."""
    return (hashed(int(words(*key, n=1)[0]), pair) & np.uint64(1)).astype(bool)


def cycles(key: int, turns: Ints, length: int) -> Ints:
    """Permutations number ``turns`` of ``0 .. length - 1``, each uniform.

    Args:
        key: 64 bits, of all permutations together.
        turns: ``(Q,)`` numbers of permutations.
        length: how many things are put in order; at most ``2**32``.

    Returns:
        ``(Q, length)``.
    """
    places = np.arange(length, dtype=np.uint64)
    low = np.uint64((1 << max(1, (length - 1).bit_length())) - 1)
    drawn = hashed(key, turns[:, None] * length + places.view(np.int64))
    drawn &= ~low
    drawn |= places
    drawn.sort(axis=1)
    drawn &= low
    return drawn.view(np.int64)


def scattered(index: Ints, length: int, *key: Key) -> Ints:
    """Where a pseudo-random permutation of ``0 .. length - 1`` puts ``index``.

    Rounds of a keyed odd multiplication and a fold of the high bits onto the low ones, over the
    next power of two, repeated for what lands beyond ``length``. Meant for thousands of things
    and more; :func:`cycles` is for fewer.

    Args:
        index: ``(M,)`` positions below ``length``.
        length: at most ``2**52``.
        *key: of the permutation.

    Reference: after Black and Rogaway, *Ciphers with arbitrary finite domains*, CT-RSA 2002.
    """
    bits = max(2, (length - 1).bit_length())
    mask, fold = np.uint64((1 << bits) - 1), np.uint64((bits + 1) // 2)
    drawn = words(*key, n=2 * _ROUNDS)
    odd, add = drawn[::2] | np.uint64(1), drawn[1::2]

    def rounds(x: Words) -> None:
        over = np.empty_like(x)
        for m, a in zip(odd, add, strict=True):
            np.multiply(x, m, out=x)
            np.add(x, a, out=x)
            np.bitwise_and(x, mask, out=x)
            np.right_shift(x, fold, out=over)
            np.bitwise_xor(x, over, out=x)

    out = np.empty(len(index), dtype=np.int64)
    size = np.uint64(length)
    for a in range(0, len(index), _CHUNK):  # short arrays stay in cache
        x = index[a : a + _CHUNK].astype(np.uint64)
        rounds(x)
        beyond = np.flatnonzero(x >= size)
        while len(beyond):
            again = x[beyond]
            rounds(again)
            x[beyond] = again
            beyond = beyond[again >= size]
        out[a : a + _CHUNK] = x.view(np.int64)
    return out


def ordered(turn: Ints, place: Ints, length: int, *key: Key) -> Ints:
    """Element ``place`` of shuffled list number ``turn``, elementwise; lists of one length.

    Args:
        turn: ``(M,)`` numbers of lists, ascending.
        place: ``(M,)`` positions below ``length``.
        length: of a list.
        *key: of all lists together.
    """
    if not len(turn):
        return place
    first, last = int(turn[0]), int(turn[-1]) + 1
    if length <= _MANY:
        turns, row = np.arange(first, last, dtype=np.int64), turn - first
        if len(turns) > len(turn):  # some lists are not touched
            turns, row = np.unique(turn, return_inverse=True)
        table = cycles(int(words(*key, n=1)[0]), turns, length)
        return np.asarray(table.reshape(-1).take(row * length + place))
    cuts = np.searchsorted(turn, np.arange(first, last + 1)).tolist()
    parts = [
        scattered(place[a:b], length, *key, first + t)
        for t, (a, b) in enumerate(itertools.pairwise(cuts))
    ]
    return np.concatenate(parts)


def turned(slot: Ints, size: Ints, prime: Ints, key: Words, rounds: int = 2) -> Ints:
    """A one-to-one map of ``0 .. size - 1`` for each key, elementwise.

    A round is ``(a slot + b) mod p``, repeated while it lands beyond ``size``, and then a rotation
    ``(. + r) mod size``; ``a``, ``b`` and ``r`` come from the key. Over keys every slot goes to every
    place equally often; how far apart two slots land is even to some 10 % after one round, to
    1 % after two. A list that was shuffled beforehand and is read through one such map is in
    uniform order.

    Args:
        slot: ``(M,)`` positions below their size.
        size: ``(M,)`` sizes.
        prime: ``(M,)`` primes above the sizes (:func:`primes_from` of size + 1), below ``2**31``.
            Where a prime is the size itself two rounds are one affine map, and only
            ``p (p - 1) / 2`` of the sets of the first slots ever come.
        key: ``(M,)`` words.
        rounds: how many.
    """
    for number in range(rounds):
        key = finalise(key + GOLDEN) if number else key
        a, b = affine(prime, key)
        out = (a * slot + b) % prime
        beyond = np.flatnonzero(out >= size)
        while len(beyond):
            out[beyond] = (a[beyond] * out[beyond] + b[beyond]) % prime[beyond]
            beyond = beyond[out[beyond] >= size[beyond]]
        slot = wrapped(out + rotation(size, key), size)
    return slot


def wrapped(place: Ints, size: Ints) -> Ints:
    """``place mod size`` of places below ``2 size``."""
    return np.minimum(place.view(np.uint64), (place - size).view(np.uint64)).view(np.int64)


def rotation(size: Ints, key: Words) -> Ints:
    """``r`` in ``0 .. size - 1`` of a word each, another than those of :func:`affine`."""
    with np.errstate(over="ignore"):
        return ((((key * GOLDEN) >> _HALF) * size.view(np.uint64)) >> _HALF).view(np.int64)


def affine(prime: Ints, key: Words) -> tuple[Ints, Ints]:
    """``a`` in ``1 .. p - 1`` and ``b`` in ``0 .. p - 1`` of a word each."""
    p = prime.view(np.uint64)
    one = np.uint64(1)
    a = (((key >> _HALF) * (p - one)) >> _HALF) + one
    b = ((key & _LOW) * p) >> _HALF
    return a.view(np.int64), b.view(np.int64)


def permuted(index: Ints, length: int, *key: Key) -> Ints:
    """``index`` under one permutation of ``0 .. length - 1``: exact, or scattered where it is long."""
    if length <= _WHOLE:
        return np.asarray(permutation(*key, n=length).take(index))
    return scattered(index, length, *key)


def primes_from(size: Ints) -> Ints:
    """The smallest prime that is not below each size. Shape as ``size``."""
    out = np.maximum(size, 2)
    root = int(out.max() ** 0.5) + 64 if out.size else 2
    sieve = np.ones(root + 1, dtype=bool)
    sieve[:2] = False
    for i in range(2, int(root**0.5) + 1):
        if sieve[i]:
            sieve[i * i :: i] = False
    small = np.flatnonzero(sieve)
    found = {int(n): _prime_from(int(n), small) for n in np.unique(out)}
    return np.asarray([found[int(n)] for n in out.ravel()], dtype=np.int64).reshape(out.shape)


def _prime_from(n: int, small: Ints) -> int:
    while True:
        divisors = small[small * small <= n]
        if bool((n % divisors != 0).all()):
            return n
        n += 1
