"""Independent draws at the speed of the memory: one random word gives a class and its row."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtail.functional.random import FIRST, GOLDEN, SECOND, Words

__all__ = ["RowTable", "alias_table"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Order = NDArray[np.int32] | Ints

_CHUNK = 1 << 15  # buffers of this many draws stay in cache
_ONE = np.uint64(0x3FF0000000000000)  # the bits of 1.0
_STEPS = ((np.uint64(30), FIRST), (np.uint64(27), SECOND))


def alias_table(probability: Floats) -> tuple[Floats, Ints]:
    """Alias table: column ``j`` stands for ``j`` with chance ``accept[j]``, else ``other[j]``.

    Reference: Walker, ACM TOMS 1977; Vose, IEEE TSE 1991.
    """
    c = len(probability)
    mass = (probability * (c / probability.sum())).tolist()
    accept, other = np.ones(c), np.arange(c, dtype=np.int64)
    small = [j for j in range(c) if mass[j] < 1]
    large = [j for j in range(c) if mass[j] >= 1]
    while small and large:
        low, high = small.pop(), large[-1]
        accept[low], other[low] = mass[low], high
        mass[high] -= 1 - mass[low]
        if mass[high] < 1:
            small.append(large.pop())
    for j in small:  # left over by rounding: full, unless the class is never drawn
        if probability[j] == 0:
            accept[j], other[j] = 0.0, int(probability.argmax())
    return accept, other


class RowTable:
    """Draws rows with replacement: class ``c`` with probability ``P_c``, then its rows evenly.

    A uniform number of 52 bits, times the number of columns of an alias table, falls into a
    column and one of its two segments; a segment is mapped linearly onto the rows of its class.
    So a draw costs a hash, three or four look-ups and two roundings, whatever ``N`` and ``C``. Classes
    come with probability ``P_c`` to ``C 2**-52``, rows of a class evenly to ``C n_c 2**-51``.

    Args:
        probability: ``(C,)``; zero for a class that is never drawn.
        counts: ``(C,)`` rows of each class.
        starts: ``(C,)`` where each begins in the order of rows by class.
    """

    def __init__(self, probability: Floats, counts: Ints, starts: Ints) -> None:
        live = np.flatnonzero(probability > 0)
        share = probability[live]
        n, first = counts[live].astype(np.float64), starts[live].astype(np.float64)
        self.columns = k = len(live)
        self.bits, self.limit = 0, np.zeros(0)
        accept, other = np.ones(k), np.arange(k)
        if share.min() < share.max():  # columns of a power of two are read off the word's bits
            self.bits = (k - 1).bit_length()
            self.columns = k = 1 << self.bits
            more = np.zeros(k - len(share))
            accept, other = alias_table(np.concatenate([share, more]))
            n, first = np.concatenate([n, more + 1]), np.concatenate([first, more])
        column = np.arange(k, 2 * k, dtype=np.float64)  # numbers run from k to 2 k
        line = _lines(column, accept, n, first, k)
        if self.bits:
            rest = _lines(column + accept, 1 - accept, n[other], first[other], k)
            self.limit = column + accept
            line = np.stack([line, rest], axis=2).reshape(2, -1)
        else:
            line = np.concatenate([np.zeros((2, k)), line], axis=1)
        self.slope, self.offset = line

    def rows(self, order: Order, key: int, span: range) -> Ints:
        """Rows of the draws number ``span`` of the stream that ``key`` starts.

        Args:
            order: ``(N,)`` rows by class.
            key: 64 bits.
            span: numbers of draws, not negative.

        Returns:
            ``(len(span),)``.
        """
        out = np.empty(len(span), dtype=np.int64)
        m = min(_CHUNK, len(span))
        stride = (int(GOLDEN) * span.step) & 0xFFFFFFFFFFFFFFFF
        counter = np.arange(m, dtype=np.uint64) * np.uint64(stride)
        table = torch.from_numpy(order)
        buffers = _Buffers(m, table.dtype)
        for a in range(0, len(span), _CHUNK):
            part = out[a : a + _CHUNK]
            if len(part) < m:
                m = len(part)
                buffers, counter = _Buffers(m, table.dtype), counter[:m]
            start = (key + (span[a] + 1) * int(GOLDEN)) & 0xFFFFFFFFFFFFFFFF
            self._chunk(table, counter, np.uint64(start), buffers, part)
        return out

    def _chunk(
        self, order: Tensor, counter: Words, start: np.uint64, b: _Buffers, out: Ints
    ) -> None:
        word, over, number, spare = b.word, b.over, b.number, b.word.view(np.float64)
        np.add(counter, start, out=word)
        for shift, factor in _STEPS:
            np.right_shift(word, shift, out=over)
            np.bitwise_xor(word, over, out=word)
            np.multiply(word, factor, out=word)
        # SplitMix64 ends with a shift by 31 that leaves the bits which decide here as they are
        index = over.view(np.int64)
        if self.bits:
            np.right_shift(word, np.uint64(64 - self.bits), out=over)
            np.right_shift(word, np.uint64(12), out=word)
            np.bitwise_or(word, _ONE + np.uint64(self.bits << 52), out=word)  # columns times 1.x
            number, spare = spare, number
            np.take(self.limit, index, out=spare, mode="clip")
            np.greater_equal(number, spare, out=b.second)
            np.add(index, index, out=index)
            np.add(index, b.second, out=index)
        else:
            np.right_shift(word, np.uint64(12), out=word)
            np.bitwise_or(word, _ONE, out=word)
            np.multiply(spare, float(self.columns), out=number)
            np.copyto(index, number, casting="unsafe")
        np.take(self.slope, index, out=spare, mode="clip")
        np.multiply(number, spare, out=number)
        np.take(self.offset, index, out=spare, mode="clip")
        np.add(number, spare, out=number)
        np.copyto(index, number, casting="unsafe")
        torch.index_select(order, 0, torch.from_numpy(index), out=b.row)
        np.copyto(out, b.row.numpy())


class _Buffers:
    """Working memory of one chunk."""

    def __init__(self, m: int, dtype: torch.dtype) -> None:
        self.word, self.over = np.empty(m, np.uint64), np.empty(m, np.uint64)
        self.number, self.second = np.empty(m), np.empty(m, dtype=bool)
        self.row = torch.empty(m, dtype=dtype)


def _lines(low: Floats, width: Floats, rows: Floats, first: Floats, columns: int) -> Floats:
    """``(2, K)``: slope and offset that take a segment to its class's rows.

    Both ends keep clear of the next class by more than the rounding of ``number slope + offset``;
    a segment too narrow for that gives the middle row.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        clear = 2.0 * columns * rows / width * 2.0**-51
        slope = np.where(2 * clear < rows, (rows - 2 * clear) / width, 0.0)
    offset = np.where(slope > 0, first + clear - low * slope, first + np.floor(rows / 2) + 0.5)
    return np.stack([slope, offset])
