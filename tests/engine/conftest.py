"""Runs in processes of their own, killed or not, and what makes two runs the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

HERE = Path(__file__).resolve().parent


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Bit-equal results are promised for the same number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Runs:
    """Speaks to the process of ``killer.py``."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(HERE / "killer.py"), str(folder / "said.txt")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        assert self._read() == "ready"

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __call__(
        self,
        output: Path,
        recipe: str,
        *,
        after: float | None = None,
        traps: list[dict[str, str]] | None = None,
        **config: Any,
    ) -> dict[str, Any]:
        """One run; the answer holds its exit status, -9 when it was killed."""
        config = {"data": "digits-lt", "epochs": 2, "resume": True, **config}
        config |= {"recipe": recipe, "output": str(output), "progress": False}
        config.setdefault("checkpoint_seconds", 0.0)
        order = {"config": config, "after": after, "traps": traps or []}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._read())
        return answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Runs that can be killed, in forks of one process that has everything imported."""
    live = Runs(tmp_path_factory.mktemp("killer"))
    yield live
    live.close()


def log_of(folder: Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl`` without their times."""
    lines = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def same_tensors(one: Path, other: Path) -> bool:
    """True when two safetensors files hold the same names, shapes and bits."""
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and a[k].numpy().tobytes() == b[k].numpy().tobytes() for k in a
    )


@pytest.fixture(scope="session")
def assert_same_run() -> Callable[[Path, Path], None]:
    """Fails unless two finished folders hold the same weights, log and results, bit for bit."""

    def check(one: Path, other: Path) -> None:
        assert same_tensors(one / "model.safetensors", other / "model.safetensors")
        ends = sorted(p.name for p in (one / "checkpoints").glob("end-*"))
        assert ends == sorted(p.name for p in (other / "checkpoints").glob("end-*"))
        assert ends
        for name in ends:
            assert same_tensors(one / "checkpoints" / name, other / "checkpoints" / name), name
        assert log_of(one) == log_of(other)
        told = [(line["stage_number"], line["epoch"]) for line in log_of(other)]
        assert told == sorted(set(told)), "an epoch stands in the log twice"
        a, b = (json.loads((f / "metrics.json").read_text()) for f in (one, other))
        for key in a.keys() - {"seconds", "latency_ms"}:
            assert a[key] == b[key], key
        assert not [*other.glob("**/.*.part")], "a cut-short write was left behind"

    return check
