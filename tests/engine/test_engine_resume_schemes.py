"""Sampling schemes with state, killed in the middle of a stage: the same bits after ``--resume``."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

#: recipe -> (settings, files after whose writing it is killed, what the last one then holds)
CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "quintuplet": (("size=5",), ("latest", "latest"), "objective/partners"),
    "dcl": ((), ("latest", "latest"), "objective/counts"),
    "meta_sampler": (("retrain=60",), ("start-1", "latest", "latest"), "objective/rates.omega"),
}


@pytest.mark.parametrize("recipe", CASES)
def test_the_same_bits(runs: Any, tmp_path: Path, assert_same_run: Any, recipe: str) -> None:
    """Clusters made in the first epoch serve until the fifth: later ones have them from disk."""
    settings, files, held = CASES[recipe]
    whole, output = tmp_path / "whole", tmp_path / "killed"
    config: dict[str, Any] = {"epochs": 3, "set": settings}
    answer = runs(whole, recipe, **config)
    assert answer["status"] == 0, answer["said"]
    for name in files:
        traps = [{"name": f"{name}.safetensors", "when": "after"}]
        told = runs(output, recipe, traps=traps, **config)
        assert told["status"] == -signal.SIGKILL, told["said"]
    kept = load_file(output / "checkpoints" / "latest.safetensors")[held]
    if recipe == "quintuplet":
        assert not torch.equal(kept, torch.arange(len(kept))[:, None].repeat(1, 4))
    for share in (0.5, 0.8):
        told = runs(output, recipe, after=share * answer["seconds"], **config)
        assert told["status"] in (0, -signal.SIGKILL), told["said"]
    last = runs(output, recipe, **config)
    assert last["status"] == 0, last["said"]
    assert_same_run(whole, output)
