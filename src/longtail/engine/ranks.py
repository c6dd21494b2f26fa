"""What several processes share: gradients, rows, buffers. One process: everything is a no-op."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = ["Ranks"]


class Ranks:
    """Collective operations over the processes of a run, in rank order."""

    def __init__(self, world: int = 1, rank: int = 0) -> None:
        self.world = world
        self.rank = rank

    @property
    def first(self) -> bool:
        """True on the rank that writes and prints."""
        return self.rank == 0

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Add tensors over ranks in place, through one flat bucket a dtype."""
        if self.world == 1:
            return
        buckets: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            buckets.setdefault(tensor.dtype, []).append(tensor)
        for bucket in buckets.values():
            flat = torch.cat([t.reshape(-1) for t in bucket])
            dist.all_reduce(flat)
            for tensor, part in zip(bucket, flat.split([t.numel() for t in bucket]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def gradients_(self, parameters: Sequence[nn.Parameter], weight: Tensor) -> None:
        """Turn summed gradients into ``sum over ranks / summed weight``; missing counts as zero."""
        weight = weight.detach().to(torch.float32).reshape(1).clone()
        self.fill_(parameters)
        grads = [p.grad for p in parameters if p.grad is not None]
        self.sum_([*grads, weight])
        if grads:
            torch._foreach_div_(grads, weight.clamp_min(1e-12)[0])

    def fill_(self, parameters: Sequence[nn.Parameter]) -> None:
        """Zero for a missing gradient: weight decay and momentum must not depend on ranks."""
        for p in parameters:
            if p.grad is None:
                p.grad = torch.zeros_like(p)

    def gather_rows(self, rows: Tensor) -> Tensor:
        """Rows of all ranks in rank order; ranks may hold different numbers of rows."""
        if self.world == 1:
            return rows
        sizes = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(self.world)]
        dist.all_gather(sizes, torch.tensor([len(rows)], device=rows.device))
        longest = int(max(s.item() for s in sizes))
        padded = rows.new_zeros((longest, *rows.shape[1:]))
        padded[: len(rows)] = rows
        out = [torch.empty_like(padded) for _ in range(self.world)]
        dist.all_gather(out, padded)
        return torch.cat([o[: int(s.item())] for o, s in zip(out, sizes, strict=True)])

    def broadcast(self, value: Any) -> Any:
        """The first rank's object, on every rank."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def average_buffers_(self, module: nn.Module) -> None:
        """Average floating running statistics over ranks (``bn = local``, before saving)."""
        if self.world == 1:
            return
        buffers = [b for b in module.buffers() if b.is_floating_point()]
        self.sum_(buffers)
        for buffer in buffers:
            buffer.div_(self.world)

    def share(self, length: int) -> slice:
        """This rank's contiguous share of ``length`` rows; sizes differ by at most one."""
        small, more = divmod(length, self.world)
        start = self.rank * small + min(self.rank, more)
        return slice(start, start + small + (self.rank < more))

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.world > 1:
            dist.barrier()
