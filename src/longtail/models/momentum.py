"""Slow copies and queues, for contrastive methods and self-training."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from longtail.errors import ConfigError

__all__ = ["Queue", "Twin"]


class Twin(nn.Module):
    """An exponential moving average of a module: ``a <- m a + (1 - m) w``; never trained.

    Buffers (BatchNorm statistics) are copied. The twin gives no gradient.

    Args:
        module: what to copy; the copy starts equal.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).requires_grad_(False)

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the copy without gradient."""
        return self.module(*args, **kwargs)

    @torch.no_grad()
    def update(self, module: nn.Module, momentum: float | Tensor) -> None:
        """Move towards ``module`` in place.

        Args:
            module: of the same structure.
            momentum: ``m`` in [0, 1], a number or 0-d tensor.
        """
        if not isinstance(momentum, Tensor) and not 0 <= momentum <= 1:
            raise ConfigError(f"momentum must lie in [0, 1], not {momentum}", "try 0.999")
        step = 1 - momentum
        for mine, theirs in zip(self.module.parameters(), module.parameters(), strict=True):
            mine.lerp_(theirs.detach().to(mine), step if isinstance(step, float) else step.to(mine))
        for kept, theirs_now in zip(self.module.buffers(), module.buffers(), strict=True):
            kept.copy_(theirs_now)


class Queue(nn.Module):
    """First in, first out: the last ``size`` keys and their labels.

    Args:
        size: ``K``.
        dim: ``d``.

    Attributes:
        keys: ``(K, d)``, zeros where nothing was pushed yet.
        labels: ``(K,)`` int64, -1 where nothing was pushed yet.
        pointer: 0-d int64, where the next key goes.
    """

    keys: Tensor
    labels: Tensor
    pointer: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        if size < 1 or dim < 1:
            raise ConfigError(f"a queue of {size} keys of width {dim} cannot be", "give 1 or more")
        self.size, self.dim = size, dim
        self.register_buffer("keys", torch.zeros(size, dim))
        self.register_buffer("labels", torch.full((size,), -1, dtype=torch.int64))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    @property
    def filled(self) -> Tensor:
        """``(K,)`` bool: places that hold a labelled key."""
        return self.labels >= 0

    @torch.no_grad()
    def push(self, keys: Tensor, labels: Tensor) -> None:
        """Write keys in place, wrapping around; of more than ``K`` keys the last ``K`` stay.

        Args:
            keys: ``(B, d)``.
            labels: ``(B,)``.
        """
        if keys.ndim != 2 or keys.shape[1] != self.dim or labels.shape != keys.shape[:1]:
            raise ConfigError(
                f"keys {tuple(keys.shape)} with labels {tuple(labels.shape)} do not fit this queue",
                f"give keys (B, {self.dim}) and labels (B,)",
            )
        rows = len(keys)
        start = self.pointer + max(0, rows - self.size)
        keys, labels = keys[-self.size :], labels[-self.size :]
        at = (start + torch.arange(len(keys), device=self.keys.device)) % self.size
        self.keys.index_copy_(0, at, keys.detach().to(self.keys))
        self.labels.index_copy_(0, at, labels.to(self.labels))
        self.pointer.copy_((self.pointer + rows) % self.size)
