"""Checkpoints: tensors (safetensors) with JSON in their header, never pickles.

A file is written beside its final name, flushed to disk and renamed, so that a write that fails
half-way leaves the previous one as it was.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from longtail.errors import CheckpointError, LongtailError

__all__ = [
    "SCHEMA",
    "fitting",
    "join_state",
    "load_tensors",
    "optimizer_state",
    "restore_optimizer",
    "save_tensors",
    "split_state",
    "unwritten",
    "write_atomic",
]

#: version of the layout of checkpoints and run folders
SCHEMA = 1


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise unwritten(path.name, error) from error


def unwritten(name: str, error: OSError) -> CheckpointError:
    """The error of a file that could not be written."""
    return CheckpointError(
        f"{name} could not be written: {error.strerror or error}",
        "make room on the disk; what was saved before is untouched, continue with --resume",
    )


@contextlib.contextmanager
def fitting(name: str) -> Iterator[None]:
    """Turns what goes wrong as a checkpoint's content is put in place into one clear error."""
    try:
        yield
    except LongtailError:
        raise
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise CheckpointError(
            f"{name} does not fit this run: {said[:200]}",
            "it lacks entries or belongs to another run; start again in another --output",
        ) from error


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Save named tensors with JSON beside them in one file."""
    clean = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    header = {"schema": str(SCHEMA), "about": json.dumps(dict(about))}
    write_atomic(path, save(clean, metadata=header))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save_tensors` wrote; anything else is refused by name."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path.name}", f"look in {path.parent}")
    with open(path, "rb") as file:
        start = file.read(9)
    # A safetensors file begins with the length of its JSON, which may look like either.
    if start[8:] != b"{" and start[:2] in (b"PK", *(bytes((0x80, v)) for v in range(2, 6))):
        raise CheckpointError(
            f"{path.name} carries a pickle, which can run code when it is read",
            "give a .safetensors file written by longtail",
        )
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path.name} is not a whole checkpoint: {error}",
            "it was cut short or is another kind of file; use the checkpoint before it",
        ) from error
    if header.get("schema") != str(SCHEMA):
        raise CheckpointError(
            f"{path.name} has layout {header.get('schema', 'unknown')}, this version reads {SCHEMA}",
            "read it with the version of longtail that wrote it",
        )
    with fitting(path.name):
        return tensors, dict(json.loads(header["about"]))


def join_state(**parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Several state dictionaries in one, under a prefix each."""
    return {f"{name}/{k}": v for name, part in parts.items() for k, v in part.items()}


def split_state(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The inverse of :func:`join_state`."""
    out: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, _, rest = key.partition("/")
        out.setdefault(name, {})[rest] = value
    return out


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The tensors of an optimiser by parameter number."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{key}": torch.as_tensor(value)
        for number, entries in state.items()
        for key, value in entries.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put the tensors of :func:`optimizer_state` back, laid out in memory as their parameters.

    Fused optimisers walk parameter and moments by address, whatever their strides say.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        like = parameters[int(number)]
        if value.shape == like.shape:
            value = torch.empty_like(like, dtype=value.dtype).copy_(value)
        state.setdefault(int(number), {})[name] = value
    whole = optimizer.state_dict()
    whole["state"] = state
    optimizer.load_state_dict(whole)
