"""Fixtures of all tests: the shared folder, recorded numbers, and a watch on global randomness."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


def _shared_root() -> Path | None:
    given = os.environ.get("LONGTAIL_SHARED")
    folder = Path(given) if given else ROOT.parent / "shared"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def shared_root() -> Path | None:
    """The folder with specifications and recorded numbers, where there is one.

    The environment variable ``LONGTAIL_SHARED``, else ``shared`` beside the repository.
    """
    return _shared_root()


@pytest.fixture(scope="session")
def golden(shared_root: Path | None) -> Callable[[str], list[dict[str, Any]]]:
    """``golden("ldam")``: the recorded cases of a method; skips, with a reason, without them."""

    def cases(name: str) -> list[dict[str, Any]]:
        if shared_root is None:
            pytest.skip("no shared folder with recorded numbers (set LONGTAIL_SHARED)")
        path = shared_root / "golden" / f"{name}.json"
        if not path.is_file():
            pytest.skip(f"no recorded numbers {path.name} in the shared folder")
        found: list[dict[str, Any]] = json.loads(path.read_text())["cases"]
        return found

    return cases


@pytest.fixture
def untouched_randomness() -> Iterator[None]:
    """Fails the test when it moved the global generators of torch, NumPy or Python."""
    before = _global_state()
    yield
    assert _global_state() == before, "a global random generator was moved"


def _global_state() -> tuple[Any, ...]:
    kind, keys, *rest = np.random.get_state()
    torch_state = torch.get_rng_state().numpy().tobytes()
    return random.getstate(), kind, keys.tobytes(), tuple(rest), torch_state
