"""Recorded numbers of the shared folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def golden() -> Callable[[str], Any]:
    """``golden("ece")``: the recorded cases of a method, or a skip with the reason."""

    def read(name: str) -> Any:
        root = os.environ.get("LONGTAIL_SHARED")
        base = Path(root) if root else Path(__file__).resolve().parents[3] / "shared"
        file = base / "golden" / f"{name}.json"
        if not file.is_file():
            pytest.skip(f"golden/{name}.json of the shared folder is not here")
        return json.loads(file.read_text())["cases"]

    return read
