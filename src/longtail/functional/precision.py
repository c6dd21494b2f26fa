"""Half precision: where numbers are widened, and what is never narrowed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["kept_wide", "no_autocast", "widen"]


def widen(x: Tensor) -> Tensor:
    """At least float32: half precision as float32, others as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def kept_wide(fn: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """What moves tensors as ``fn`` does and leaves them at float32 or wider.

    For ``_apply`` of modules whose buffers are log priors, offsets and margins: ``model.half()``
    moves them and does not round them.
    """

    def wide(t: Tensor) -> Tensor:
        out = fn(t)
        return t.to(out.device) if out.is_floating_point() and out.itemsize < 4 else out

    return wide


def no_autocast(kind: str) -> Any:
    """A context without autocast on that kind of device."""
    on = torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if on else contextlib.nullcontext()
