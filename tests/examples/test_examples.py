"""The examples run as they stand."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_runs(path: Path) -> None:
    with torch.random.fork_rng():
        score = runpy.run_path(str(path))["main"]()
    assert score > 0.6
