"""What each rank of a gloo group draws: ``torchrun ranked_draws.py FOLDER``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader

from longtail import create
from longtail.registry import records
from longtail.samplers import Sampler

COUNTS = (90, 40, 13, 5, 1)
ROWS = sum(COUNTS)


def labels() -> torch.Tensor:
    """Class ids of the rows, in a fixed disorder."""
    y = torch.repeat_interleave(torch.arange(len(COUNTS)), torch.tensor(COUNTS))
    return y[torch.randperm(ROWS, generator=torch.Generator().manual_seed(0))]


def drawn(name: str, rank: int, world: int, epoch: int, start: int = 0) -> list[int]:
    """Rows that torch's own loader hands to one process."""
    sampler = create("sampler", name, labels=labels(), seed=5, num_replicas=world, rank=rank)
    sampler.epochs = 4
    sampler.set_epoch(epoch, start)
    loader: Any = DataLoader(
        torch.arange(ROWS),  # type: ignore[arg-type]
        7,
        sampler=sampler,
        generator=torch.Generator(),
    )
    return [int(row) for batch in loader for row in batch]


def main() -> None:
    """Draw with every sampler; rank 0 writes what all ranks drew."""
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    made: list[int] = []
    rows = Sampler.draw

    def counted(self: Sampler, *args: Any, **more: Any) -> torch.Tensor:
        out = rows(self, *args, **more)
        made.append(len(out))
        return out

    Sampler.draw = counted  # type: ignore[method-assign]
    mine: dict[str, Any] = {}
    for record in records("samplers"):
        made.clear()
        own = [drawn(record.name, rank, world, epoch) for epoch in (0, 3)]
        mine[record.name] = {"drawn": own, "made": sum(made)}
        mine[record.name]["late"] = drawn(record.name, rank, world, 3, 30)
    gathered: list[Any] = [None] * world
    dist.all_gather_object(gathered, mine)
    if rank == 0:
        Path(sys.argv[1], "drawn.json").write_text(json.dumps(gathered))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
