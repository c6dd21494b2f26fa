"""Fixtures of the report tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.reports.report_folders import fabricate


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """``make_run(name, **options)`` writes a run folder under the test's own folder."""

    def make(name: str = "run", **options: Any) -> Path:
        return fabricate(tmp_path / name, **options)

    return make
