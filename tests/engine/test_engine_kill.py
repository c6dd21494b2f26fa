"""``kill -9`` at any moment, then ``--resume``: the same weights, bit for bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

#: recipe -> (number of kills in the long test, epochs, settings)
LONG: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "mixup": (3, 2, ()),  # one stage, mixed rows
    "crt": (4, 3, ()),  # between stages, a head drawn anew
    "pseudo_label": (3, 3, ()),  # the data change
    "hfl": (4, 4, ("groups=3",)),  # stages that depend on clusters, a tree
    "paco": (3, 2, ("queue=64",)),  # queue and twin
    "meta_weight_net": (2, 2, ()),  # a private optimiser
    "ce": (1, 2, ("ema=0.95", "clip=1.0")),  # an averaged copy
}


def kill_and_resume(
    runs: Any, folder: Path, recipe: str, kills: int, check: Any, **config: Any
) -> None:
    """Kill a run ``kills`` times at random moments; every round ends finished and is compared."""
    whole = folder / "whole"
    answer = runs(whole, recipe, **config)
    assert answer["status"] == 0, answer["said"]
    moments = random.Random(recipe)
    killed = rounds = 0
    while killed < kills:
        rounds += 1
        assert rounds <= 3 * kills, "the runs end before they can be killed"
        output = folder / f"round-{rounds}"
        while True:
            last = killed == kills
            after = None if last else moments.uniform(0.0, 0.8 * answer["seconds"])
            told = runs(output, recipe, after=after, **config)
            assert told["status"] in (0, -signal.SIGKILL), told["said"]
            if told["status"] == 0:
                break
            killed += 1
        check(whole, output)


def test_three_random_moments(runs: Any, tmp_path: Path, assert_same_run: Any) -> None:
    kill_and_resume(runs, tmp_path, "crt", 3, assert_same_run, epochs=2)


@pytest.mark.full
@pytest.mark.parametrize("recipe", LONG)
def test_random_moments(runs: Any, tmp_path: Path, assert_same_run: Any, recipe: str) -> None:
    kills, epochs, settings = LONG[recipe]
    kill_and_resume(runs, tmp_path, recipe, kills, assert_same_run, epochs=epochs, set=settings)


def test_twenty_moments_are_spread() -> None:
    assert sum(kills for kills, _, _ in LONG.values()) == 20


#: moments in the order in which a run of two stages meets them
BOUNDARIES = [
    ("run.json", "half"),
    ("run.json", "before"),
    ("start-0.safetensors", "before"),
    ("start-0.safetensors", "after"),
    ("latest.safetensors", "half"),
    ("metrics.jsonl", "half"),
    ("metrics.jsonl", "after"),
    ("end-0.safetensors", "half"),
    ("end-0.safetensors", "after"),
    ("journal.json", "before"),
    ("journal.json", "after"),
    ("start-1.safetensors", "half"),
    ("start-1.safetensors", "after"),
    ("end-1.safetensors", "after"),
    ("model.safetensors", "half"),
    ("model.safetensors", "after"),
    ("metrics.json", "before"),
    ("metrics.json", "after"),
]


@pytest.mark.parametrize(
    "recipe", ["crt", *(pytest.param(r, marks=pytest.mark.full) for r in ("hfl", "pseudo_label"))]
)
def test_moments_at_the_boundaries(
    runs: Any, tmp_path: Path, assert_same_run: Any, recipe: str
) -> None:
    """One folder, killed at each write that matters, one after the other."""
    whole, output = tmp_path / "whole", tmp_path / "killed"
    config: dict[str, Any] = {"checkpoint_seconds": 0.05}
    assert runs(whole, recipe, **config)["status"] == 0
    for name, when in BOUNDARIES:
        told = runs(output, recipe, traps=[{"name": name, "when": when}], **config)
        assert told["status"] == -signal.SIGKILL, (name, when, told)
    assert runs(output, recipe, **config)["status"] == 0
    assert_same_run(whole, output)


@pytest.mark.full
def test_the_command_line_killed(runs: Any, tmp_path: Path, assert_same_run: Any) -> None:
    """The real command, killed from outside once its first checkpoint is there."""
    whole, output = tmp_path / "whole", tmp_path / "killed"
    assert runs(whole, "mixup", epochs=30, checkpoint_seconds=10.0)["status"] == 0
    command = [
        sys.executable, "-m", "longtail", "train", "digits-lt", "--recipe", "mixup",
        "--epochs", "30", "--output", str(output), "--resume",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name in ("start-0", "latest"):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        file = output / "checkpoints" / f"{name}.safetensors"
        end = time.monotonic() + 120
        while not file.is_file() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        if process.poll() is None:
            process.kill()
        process.wait(30)
    subprocess.run(command, env=environment, check=True, timeout=300, capture_output=True)
    assert (output / "report.html").is_file()
    assert_same_run(whole, output)
