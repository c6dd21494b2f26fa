"""CONTRIBUTING.md, followed to the letter in a copy of the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.fences import ROOT, blocks

PAGE = ROOT / "CONTRIBUTING.md"
FILE = re.compile(r"file: (?P<path>\S+) \((?P<how>append|create)\)")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The source tree and its tests."""
    place = tmp_path / "project"
    for folder in ("src", "tests"):
        shutil.copytree(ROOT / folder, place / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", place)
    return place


def apply(place: Path) -> list[str]:
    """Write what the page says into the copy; return the commands that it gives at the end."""
    commands = []
    for block in blocks(PAGE):
        found = FILE.fullmatch(block.note)
        if found is None:
            assert block.language == "bash", f"line {block.line}: which file?"
            commands.append(block.text)
            continue
        file = place / found["path"]
        assert file.exists() == (found["how"] == "append"), file
        before = file.read_text("utf-8").rstrip("\n") + "\n\n\n" if file.exists() else ""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(before + block.text, encoding="utf-8")
    return commands


@pytest.mark.full
def test_the_page_adds_a_loss(copy: Path) -> None:
    kinds = [FILE.fullmatch(b.note) for b in blocks(PAGE)]
    assert sum(k is not None for k in kinds) == 4, "one function, one class, one line, one test"
    env = {
        **os.environ,
        "PYTHONPATH": str(copy / "src"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    for command in apply(copy):
        got = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=copy, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert got.returncode == 0, got.stdout + got.stderr
        ran = re.findall(r"(\d+) passed", got.stdout)
        assert not ran or int(ran[-1]) > 1, "the contract did not meet the new loss"
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "src/longtail/losses", "src/longtail/functional"],
        cwd=copy, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout
