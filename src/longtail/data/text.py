"""Texts to token ids without a vocabulary: hashed words and pairs of neighbouring words."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from longtail.errors import DataError

__all__ = ["BUCKETS", "NGRAMS", "choose_length", "encode_texts", "tokens"]

BUCKETS, NGRAMS = 2**16, 2
LONGEST, SHORTEST = 512, 8
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af"
_TOKEN = re.compile(
    rf"[{_CJK}]|[^\W{_CJK}]+(?:['\u2019][^\W{_CJK}]+)*|[!?]|[\u2600-\u27bf\U0001f300-\U0001faff]"
)


def tokens(text: str) -> list[str]:
    """Lower-cased words (single characters of East Asian scripts; ``!``, ``?`` and emoji too)."""
    return _TOKEN.findall(text.lower())


def _hashed(words: list[str], buckets: int, ngrams: int) -> list[int]:
    """Ids in ``1..buckets-1``: first all single words, then the pairs (triples ...)."""
    grams = list(words)
    for n in range(2, ngrams + 1):
        grams += [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
    return [1 + zlib.crc32(g.encode("utf-8", "replace")) % (buckets - 1) for g in grams]


def choose_length(texts: Sequence[str], *, ngrams: int = NGRAMS) -> int:
    """The 99.9 percentile of ids a text, 8 to 512."""
    if not texts:
        return LONGEST
    words = np.asarray([len(tokens(t)) for t in texts])
    counts = sum(np.maximum(words - n, 0) for n in range(ngrams))
    return int(min(LONGEST, max(SHORTEST, np.ceil(np.percentile(counts, 99.9)))))


def encode_texts(
    texts: Sequence[str], *, max_tokens: int, buckets: int = BUCKETS, ngrams: int = NGRAMS
) -> Tensor:
    """``(N, L)`` int32 ids, 0 is padding; the same on every platform (CRC-32 of UTF-8).

    Args:
        texts: ``N`` strings.
        max_tokens: ``L``.
        buckets: ids run from 1 to ``buckets - 1``.
        ngrams: longest run of words that gets an id.
    """
    out = np.zeros((len(texts), max_tokens), dtype=np.int32)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(
                f"text {row} is a {type(text).__name__}, not a string", "give every row a text"
            )
        ids = _hashed(tokens(text), buckets, ngrams)[:max_tokens]
        out[row, : len(ids)] = ids
    return torch.from_numpy(out)
