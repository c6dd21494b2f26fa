"""Counter-based random numbers: a pure function of a key, never of history.

Everything here is integer arithmetic on the host, so the same key gives the same numbers on
every machine, in every process and in any order of asking. Keys are tuples of integers and
strings, for example ``(seed, "order", epoch)``.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FIRST",
    "GOLDEN",
    "SECOND",
    "Key",
    "Words",
    "finalise",
    "mix",
    "permutation",
    "shuffled",
    "singles",
    "stream",
    "uniforms",
    "words",
]

Words = NDArray[np.uint64]
Key = int | str

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST = np.uint64(0xBF58476D1CE4E5B9)
SECOND = np.uint64(0x94D049BB133111EB)
# Narrow halves mix little in a round: up to 32 values it takes more rounds to even out pairs.
_ROUNDS, _MORE_ROUNDS, _NARROW = range(8), range(8, 24), np.uint64(7)
_CHUNK = 1 << 14
_BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))


def stream(*key: Key) -> np.random.Philox:
    """A Philox generator whose state is the key.

    Integers enter as two 32-bit words (modulo ``2**64``, so a negative seed is fine), strings
    by their CRC-32; the number of entries comes first, so that ``(1,)`` and ``(1, 0)`` differ.

    Reference: Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*, SC 2011.
    """
    entropy = [len(key)]
    for entry in key:
        value = zlib.crc32(entry.encode()) if isinstance(entry, str) else int(entry)
        entropy += [value & 0xFFFFFFFF, (value >> 32) & 0xFFFFFFFF, int(isinstance(entry, str))]
    return np.random.Philox(np.random.SeedSequence(entropy))


def words(*key: Key, n: int) -> Words:
    """``n`` independent 64-bit words of the key. Shape ``(n,)``."""
    return np.asarray(stream(*key).random_raw(n), dtype=np.uint64)


def uniforms(*key: Key, n: int) -> NDArray[np.float64]:
    """``n`` uniform numbers in ``[0, 1)``, multiples of ``2**-53``. Shape ``(n,)``."""
    return np.asarray((words(*key, n=n) >> np.uint64(11)) * 2.0**-53, dtype=np.float64)


def singles(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    """Uniform numbers in ``[0, 1)`` as the nearest float32 below 1 (rounding alone may give 1).

    Shapes: any, kept.
    """
    return np.minimum(numbers.astype(np.float32), _BELOW_ONE)


def permutation(*key: Key, n: int) -> NDArray[np.int64]:
    """A uniform random permutation of ``0 .. n - 1``: the order of ``n`` random words."""
    return np.argsort(words(*key, n=n), kind="stable").astype(np.int64, copy=False)


def mix(*parts: NDArray[np.generic] | int) -> Words:
    """A 64-bit hash of integer tuples, elementwise over broadcast arrays.

    The finaliser of SplitMix64 is applied after each part.

    Reference: Steele, Lea and Flood, *Fast splittable pseudorandom number generators*,
    OOPSLA 2014.
    """
    state: Words = np.zeros(1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            whole = np.uint64(part & 0xFFFFFFFFFFFFFFFF) if isinstance(part, int) else part
            state = finalise((state + GOLDEN) ^ np.asarray(whole).astype(np.uint64))
    return state


def finalise(x: Words) -> Words:
    x = (x ^ (x >> np.uint64(30))) * FIRST
    x = (x ^ (x >> np.uint64(27))) * SECOND
    out: Words = x ^ (x >> np.uint64(31))
    return out


def shuffled(
    index: NDArray[np.int64], size: NDArray[np.int64] | int, key: Words
) -> NDArray[np.int64]:
    """Where a keyed pseudo-random permutation of ``0 .. size - 1`` puts ``index``.

    One permutation for every pair of ``size`` and ``key``, evaluated where it is asked and
    nowhere else: a slice of a shuffled list of any length costs no more than the slice. A
    Feistel network over the next power of two, walked until it lands below ``size``.

    Args:
        index: ``(M,)`` positions, each below its size.
        size: ``(M,)`` or one number, at most ``2**52``.
        key: ``(M,)`` or ``(1,)`` words, one for each permutation.

    Reference: after Black and Rogaway, *Ciphers with arbitrary finite domains*, CT-RSA 2002.
    """
    sizes = np.broadcast_to(np.asarray(size, dtype=np.int64), index.shape)
    keys = np.broadcast_to(key, index.shape)
    out = np.empty(len(index), dtype=np.int64)
    for a in range(0, len(index), _CHUNK):  # short arrays stay in cache
        cut = slice(a, a + _CHUNK)
        out[cut] = _walk(index[cut].astype(np.uint64), sizes[cut].astype(np.uint64), keys[cut])
    return out


def _walk(index: Words, sizes: Words, keys: Words) -> Words:
    one = np.uint64(1)
    bits = np.frexp((sizes - one).astype(np.float64))[1].astype(np.uint64)
    low = bits >> one
    fields = (keys, low, (one << (bits - low)) - one, (one << low) - one, sizes)
    out = current = index
    todo = np.arange(len(index))
    while len(todo):
        current = _feistel(current, *fields[:4])
        narrow = np.flatnonzero(fields[3] < _NARROW)
        if len(narrow):
            k, shift, lm, rm, _ = (f[narrow] for f in fields)
            current[narrow] = _feistel(current[narrow], k, shift, lm, rm, _MORE_ROUNDS)
        outside = current >= fields[4]
        out[todo[~outside]] = current[~outside]
        todo, current = todo[outside], current[outside]
        fields = tuple(f[outside] for f in fields)  # type: ignore[assignment]
    return out


def _feistel(
    x: Words, key: Words, low: Words, left_mask: Words, right_mask: Words, rounds: range = _ROUNDS
) -> Words:
    right, left = x & right_mask, x >> low
    with np.errstate(over="ignore"):
        for i in rounds:
            salt = key + GOLDEN * np.full(1, i + 1, dtype=np.uint64)
            if i % 2:
                right = right ^ (finalise(salt ^ (left * FIRST)) & right_mask)
            else:
                left = left ^ (finalise(salt ^ (right * FIRST)) & left_mask)
    out: Words = (left << low) | right
    return out
