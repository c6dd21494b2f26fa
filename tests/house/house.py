"""What the house-rule tests look at."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "longtail"


@cache
def sources() -> dict[Path, ast.Module]:
    """Every module of the package, parsed."""
    return {p: ast.parse(p.read_text("utf-8")) for p in sorted(PACKAGE.rglob("*.py"))}


def room(path: Path) -> str:
    """The room (or the module of the lowest floor) that a file of the package belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tracked() -> tuple[Path, ...]:
    """Files under version control, or all that a build would see where there is no git."""
    got = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if got.returncode:
        folders = ("src", "tests", "docs", "benchmarks", "examples")
        return tuple(p for f in folders for p in (ROOT / f).rglob("*") if p.is_file())
    return tuple(ROOT / line for line in got.stdout.splitlines() if (ROOT / line).is_file())
