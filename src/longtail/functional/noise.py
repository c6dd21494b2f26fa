"""Noise of a batch from one random number a row, on the device, the same on every one."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["normal", "spread"]

_COLUMN = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND = 0x94D049BB133111EB - (1 << 64)
_BLOCK = 1 << 16
_BITS = 23  # half a step more is a float32 still below one


def spread(keys: Tensor, width: int) -> Tensor:
    """``(B, width)`` uniform numbers in ``(0, 1)``, float32: a hash of row key and column.

    Rows do not depend on each other, so a batch cut into parts gives the same numbers.

    Args:
        keys: ``(B,)`` numbers in ``[0, 1)``; equal keys give equal rows.
        width: columns.

    Reference: after Steele, Lea and Flood, *Fast splittable pseudorandom number generators*,
    OOPSLA 2014.
    """
    if width == 0:
        return torch.zeros((len(keys), 0), device=keys.device)
    rows = _mixed((keys.double() * (1 << 52)).to(torch.int64) + _COLUMN)[:, None]
    pairs = torch.arange(1, (width + 1) // 2 + 1, device=keys.device) * _COLUMN
    out = torch.empty((len(keys), 2 * len(pairs)), device=keys.device)
    step = max(1, _BLOCK // len(pairs)) if keys.device.type == "cpu" else max(1, len(keys))
    mask = (1 << _BITS) - 1
    for start in range(0, len(keys), step):  # the whole numbers of a block stay in cache
        bits = _mixed(rows[start : start + step] + pairs)
        block = out[start : start + step]
        block[:, 0::2] = (bits >> (64 - _BITS)) & mask
        block[:, 1::2] = (bits >> (64 - 2 * _BITS)) & mask
    return out.add_(0.5).mul_(2.0**-_BITS)[:, :width]


def normal(uniform: Tensor) -> Tensor:
    """Standard normal numbers of uniform ones in ``(0, 1)``, elementwise."""
    out: Tensor = torch.special.ndtri(uniform)
    return out


def _mixed(x: Tensor) -> Tensor:
    """The finaliser of SplitMix64 on int64 (shifts made logical by masks), in place."""
    x ^= (x >> 30) & ((1 << 34) - 1)
    x *= _FIRST
    x ^= (x >> 27) & ((1 << 37) - 1)
    x *= _SECOND
    x ^= (x >> 31) & ((1 << 33) - 1)
    return x
