"""A run as a folder: what it is, how far it is, what came out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from longtail.engine.checkpoint import SCHEMA, load_tensors, save_tensors, write_atomic
from longtail.errors import CheckpointError, ConfigError

__all__ = ["RunFolder", "differences"]


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
    """Reads and writes one run's folder."""

    def __init__(self, path: Path, *, write: bool = True) -> None:
        self.path = Path(path)
        self.write = write

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
            return True
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise ConfigError(
                f"{self.path} exists and holds no run", "choose another --output, or empty it"
            )
        if self.write:
            (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        return False

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
            text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
            write_atomic(self.path / name, text.encode("utf-8"))

    def log(self, line: Mapping[str, Any]) -> None:
        """Append a line to ``metrics.jsonl``."""
        if self.write:
            with open(self.path / "metrics.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def trim_log(self, keep: Any) -> None:
        """Drop lines that a resumed run will write again."""
        file = self.path / "metrics.jsonl"
        if self.write and file.is_file():
            lines = [x for x in file.read_text("utf-8").splitlines() if _whole(x)]
            kept = [x for x in lines if keep(json.loads(x))]
            write_atomic(file, "".join(x + "\n" for x in kept).encode("utf-8"))

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

    def has_state(self, name: str) -> bool:
        """True when that checkpoint is there."""
        return self.checkpoint(name).is_file()


def _whole(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def to_list(value: Tensor | None) -> list[float] | None:
    """A tensor as plain numbers."""
    return None if value is None else [float(v) for v in value.detach().cpu().to(torch.float64)]
