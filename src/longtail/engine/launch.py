"""Processes, device and precision, by Lightning Fabric and nothing more."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from longtail.engine.ranks import Ranks
from longtail.errors import ConfigError, UnknownNameError

__all__ = ["Launch", "first_process", "launch"]

#: values a step reads below which more threads cost more than they give
SMALL_STEP = 1 << 15
PRECISIONS = ("32", "bf16", "16")


@dataclass(frozen=True)
class Launch:
    """Where a run runs."""

    device: torch.device
    ranks: Ranks
    amp: torch.dtype | None

    def scaler(self) -> Any:
        """A gradient scaler for float16, else ``None``."""
        return torch.amp.GradScaler(self.device.type) if self.amp is torch.float16 else None


def first_process() -> bool:
    """True on the process that writes and prints: the first of ``torchrun``, or the only one."""
    return int(os.environ.get("RANK", "0")) == 0


_FABRIC: dict[tuple[str, int], Any] = {}


def launch(device: str = "auto", precision: str = "32") -> Launch:
    """Device, ranks (of ``torchrun``, else one) and autocast type.

    ``device`` is ``auto``, ``cpu``, ``cuda`` or ``cuda:I``; ``precision`` is ``32``, ``bf16`` or
    ``16``.
    """
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cpu", "cuda"):
        raise UnknownNameError("device", device, ("auto", "cpu", "cuda"))
    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigError("there is no CUDA device here", "use --device cpu, or --device auto")
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if kind == "auto" else kind
    if precision == "16" and kind == "cpu":
        raise ConfigError("float16 training needs an accelerator", "use --precision bf16 or 32")
    fabric = _fabric(kind, int(os.environ.get("WORLD_SIZE", "1")))
    at = torch.device(f"{kind}:{number}") if number else fabric.device
    amp = {"32": None, "bf16": torch.bfloat16, "16": torch.float16}[precision]
    return Launch(at, Ranks(fabric.world_size, fabric.global_rank), amp)


def _fabric(kind: str, world: int) -> Any:
    if (kind, world) not in _FABRIC:
        from lightning_fabric import Fabric

        if world > 1:
            local = int(os.environ.get("LOCAL_WORLD_SIZE", str(world)))
            nodes = max(1, world // local)
            fabric = Fabric(accelerator=kind, devices=local, num_nodes=nodes, strategy="ddp")
            fabric.launch()
        else:
            fabric = Fabric(accelerator=kind, devices=1)
        _FABRIC[(kind, world)] = fabric
    return _FABRIC[(kind, world)]


@contextlib.contextmanager
def threads_for(values: int) -> Iterator[None]:
    """One CPU thread for small steps: on a busy machine, waiting for a second one takes longer.

    ``OMP_NUM_THREADS`` in the environment goes over this.

    Args:
        values: numbers that a step reads: batch size times the size of a row.
    """
    before = torch.get_num_threads()
    if values < SMALL_STEP and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
