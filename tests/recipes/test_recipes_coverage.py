"""The table of methods: how many of them are trained, and under which family."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILT = 28


def test_the_table_counts_what_is_built(shared_root: Path | None) -> None:
    if shared_root is None or not (shared_root / "tools" / "coverage.py").is_file():
        pytest.skip("no shared folder with the table of methods (set LONGTAIL_SHARED)")
    paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    got = subprocess.run(
        [sys.executable, str(shared_root / "tools" / "coverage.py")],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p)},
    )  # fmt: skip
    found = re.search(r"in all (\d+) of (\d+); (\d+) registered beyond", got.stdout)
    assert found, got.stdout + got.stderr
    assert int(found[1]) >= BUILT
    assert int(found[3]) == 1, "only ce is no row of the table"
    assert "the table says" not in got.stdout, got.stdout
    assert got.returncode == (0 if found[1] == found[2] else 1)
