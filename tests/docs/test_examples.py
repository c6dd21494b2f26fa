"""Every fenced example of README and docs runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.docs.fences import ROOT, Block, blocks

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SKIPPED = "not run: "


def examples(language: str) -> list[object]:
    """Blocks of a language that the pages do not except, with a reason."""
    return [
        pytest.param(block, id=f"{page.name}:{block.line}")
        for page in PAGES
        for block in blocks(page)
        if block.language == language and not block.note.startswith(SKIPPED)
    ]


def environment() -> dict[str, str]:
    """This interpreter's commands first, and this source tree."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with the data that the examples speak of."""
    place = tmp_path_factory.mktemp("desk")
    random = np.random.default_rng(0)
    for name, count in (("cats", 24), ("dogs", 9), ("owls", 4)):
        folder = place / "photos" / name
        folder.mkdir(parents=True)
        for i in range(count):
            pixels = random.integers(0, 255, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    words = {"good": "fine lovely great", "bad": "poor awful dull", "odd": "strange weird curious"}
    lines = ["text,label"]
    for (label, said), count in zip(words.items(), (40, 15, 6)):
        lines += [f"{' '.join(random.choice(said.split(), 4))} {i},{label}" for i in range(count)]
    (place / "reviews.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return place


@pytest.mark.parametrize("block", examples("python"))
def test_python(block: Block, tmp_path: Path) -> None:
    got = subprocess.run(
        [sys.executable, "-W", "error", "-c", block.text],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert got.returncode == 0, got.stderr


@pytest.mark.full
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_shell(page: Path, desk: Path) -> None:
    """A page's commands, from its first to its last, in one directory."""
    here = [b for b in blocks(page) if b.language == "bash" and not b.note.startswith(SKIPPED)]
    for block in here:
        got = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.text],
            cwd=desk, env=environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert got.returncode == 0, (
            f"{page.name}:{block.line}\n{block.text}\n{got.stdout}\n{got.stderr}"
        )
        assert "Traceback" not in got.stderr


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda p: p.name
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    import re

    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target
