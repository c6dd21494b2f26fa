"""A run as a folder: what it is, how far it is, what came out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from longtail.engine.checkpoint import (
    SCHEMA,
    load_tensors,
    save_tensors,
    unwritten,
    write_atomic,
)
from longtail.errors import CheckpointError, ConfigError

__all__ = ["RunFolder", "differences", "to_list", "write_json"]


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Paths at which two plain values differ, with both values."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted(set(old) | set(new))
        return [
            d for k in keys for d in differences(old.get(k), new.get(k), f"{path}.{k}".lstrip("."))
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            d
            for i, (a, b) in enumerate(zip(old, new, strict=True))
            for d in differences(a, b, f"{path}.{i}")
        ]
    return [] if old == new else [f"{path}: {old!r} -> {new!r}"]


class RunFolder:
    """Reads and writes one run's folder; without a path nothing is found and nothing written."""

    def __init__(self, path: Path | None, *, write: bool = True) -> None:
        self.path = Path(path or ".")
        self.kept = path is not None
        self.write = write and self.kept

    def open(self, identity: Mapping[str, Any], *, resume: bool) -> bool:
        """Start the folder, or continue what is there; True when something is there.

        A folder that holds another run is refused, with the fields that differ.
        """
        file = self.path / "run.json"
        if file.is_file():
            old = self.read("run.json")
            if not resume:
                raise ConfigError(
                    f"the folder {self.path} holds a run of {old.get('recipe', {}).get('name', '?')!r}",
                    "choose another --output, or continue it with --resume",
                )
            if old.get("schema") != SCHEMA:
                raise CheckpointError(
                    f"{self.path} has layout {old.get('schema')}, this version reads {SCHEMA}",
                    "continue it with the version of longtail that wrote it",
                )
            changed = differences(old["identity"], json.loads(json.dumps(identity)))
            if changed:
                raise ConfigError(
                    f"the run in {self.path} is another one: " + "; ".join(changed[:6]),
                    "resume with the same options, or choose another --output",
                )
            self.sweep()
            return True
        if self.path.exists() and (not self.path.is_dir() or _foreign(self.path)):
            raise ConfigError(
                f"{self.path} exists and holds no run", "choose another --output, or empty it"
            )
        if self.write:
            try:
                (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigError(
                    f"the folder {self.path} cannot be made: {error.strerror or error}",
                    "choose another --output",
                ) from error
            self.sweep()
        return False

    def sweep(self) -> None:
        """Remove what writes that were cut short have left."""
        if self.write:
            for left in (*self.path.glob(".*.part"), *self.path.glob("checkpoints/.*.part")):
                left.unlink(missing_ok=True)

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the run."""
        try:
            return dict(json.loads((self.path / name).read_text("utf-8")))
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{self.path / name} cannot be read: {error}",
                "is this the folder of a finished run?",
            ) from error

    def save(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON file whole or not at all."""
        if self.write:
            write_json(self.path / name, value)

    def log(self, line: Mapping[str, Any]) -> None:
        """Append a line to ``metrics.jsonl``."""
        if self.write:
            try:
                with open(self.path / "metrics.jsonl", "a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
            except OSError as error:
                raise unwritten("metrics.jsonl", error) from error

    def trim_log(self, keep: Callable[[dict[str, Any]], bool]) -> None:
        """Drop lines that a resumed run will write again, and one that was cut short."""
        file = self.path / "metrics.jsonl"
        if self.write and file.is_file():
            lines = [x for x in file.read_text("utf-8").splitlines() if _whole(x)]
            kept = [x for x in lines if keep(json.loads(x))]
            text = "".join(x + "\n" for x in kept)
            if text != file.read_text("utf-8"):
                write_atomic(file, text.encode("utf-8"))

    def checkpoint(self, name: str) -> Path:
        """Path of a checkpoint."""
        return self.path / "checkpoints" / f"{name}.safetensors"

    def save_state(
        self, name: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any]
    ) -> None:
        """Save tensors under ``checkpoints/``."""
        if self.write:
            save_tensors(self.checkpoint(name), tensors, about)

    def load_state(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Load tensors from ``checkpoints/``."""
        return load_tensors(self.checkpoint(name))

    def has(self, name: str) -> bool:
        """True when that file of the run is there."""
        return self.kept and (self.path / name).is_file()

    def has_state(self, name: str) -> bool:
        """True when that checkpoint is there."""
        return self.kept and self.checkpoint(name).is_file()


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all; NaN is refused."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomic(path, text.encode("utf-8"))


def _foreign(path: Path) -> bool:
    """True for anything but what a run leaves that ended before its first file was whole."""
    empty = path / "checkpoints"
    left = [p for p in path.iterdir() if not (p.name.startswith(".") and p.name.endswith(".part"))]
    return bool(left) and (left != [empty] or not empty.is_dir() or any(empty.iterdir()))


def _whole(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def to_list(value: Tensor | None) -> list[float] | None:
    """A tensor as plain numbers."""
    return None if value is None else [float(v) for v in value.detach().cpu().to(torch.float64)]
