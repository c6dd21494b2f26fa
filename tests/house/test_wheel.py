"""The built wheel works from any directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.house.house import PACKAGE, ROOT

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the project's own backend; nothing is fetched."""
    pytest.importorskip("hatchling", reason="the build backend is not installed")
    place = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (built,) = place.glob("*.whl")
    return built


def test_everything_is_packed(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted <= packed, wanted - packed
    assert "longtail/py.typed" in packed
    assert any(name.endswith("entry_points.txt") for name in packed)


def test_it_works_elsewhere(wheel: Path, tmp_path: Path) -> None:
    """Installed beside nothing of ours, in an environment that sees the dependencies only."""
    home, away = tmp_path / "home", tmp_path / "away"
    away.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    (site,) = home.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    import torch

    (site / "dependencies.pth").write_text(str(Path(torch.__file__).parents[1]) + "\n")
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*words: str) -> str:
        got = subprocess.run(
            [home / "bin" / "python", "-m", "longtail", *words],
            cwd=away, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert got.returncode == 0, got.stderr
        return got.stdout

    where = subprocess.run(
        [home / "bin" / "python", "-c", "import longtail; print(longtail.__file__)"],
        cwd=away, env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(home)), "the wheel is what is imported"
    assert len(json.loads(run("list", "recipes", "--json"))) >= 25
    run("train", "digits-lt", "--recipe", "ce", "--epochs", "1", "--output", "run")
    assert (away / "run" / "report.html").stat().st_size > 10_000
