"""What an epoch adds up to: losses, their parts, correct rows a class."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from longtail.types import Terms

__all__ = ["Tally"]

_ROWS = 64


@dataclass
class Tally:
    """Running sums of an epoch, on the device: loss, its parts, correct rows a class."""

    losses: Tensor
    correct: Tensor
    seen: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)
    done: int = 0
    lr: float = 0.0
    started: float = field(default_factory=time.perf_counter)
    rows: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    @torch.no_grad()
    def add(self, step: int, terms: Terms) -> None:
        """Count one step."""
        self.done += 1
        self.losses[step] = terms.total.detach()
        for name, value in terms.parts.items():
            self.parts[name] = self.parts.get(name, 0) + value.detach()
        if terms.logits is not None and terms.target is not None:
            self.rows.append((terms.logits.argmax(-1), terms.target))
            if len(self.rows) >= _ROWS:
                self.settle()

    def settle(self) -> None:
        """Count the rows noted since the last time."""
        if self.rows:
            said, target = (torch.cat(column) for column in zip(*self.rows, strict=True))
            hit = (said == target).to(self.correct.dtype)
            self.correct.index_add_(0, target, hit)
            self.seen.index_add_(0, target, torch.ones_like(hit))
            self.rows.clear()

    def broken(self, step: int) -> bool:
        """True once a loss up to ``step`` was not finite."""
        if self.losses.device.type == "cpu":
            return not math.isfinite(self.losses[step].item())
        return not bool(torch.isfinite(self.losses[step + 1 - self.done : step + 1]).all())

    def mean_loss(self) -> float:
        """Mean loss of the steps done."""
        return float(self.losses[torch.isfinite(self.losses)].mean())

    def balanced_accuracy(self) -> float | None:
        """Mean recall over the classes drawn, on the rows as trained."""
        self.settle()
        if not bool((self.seen > 0).any()):
            return None
        return float((self.correct / self.seen)[self.seen > 0].mean())
