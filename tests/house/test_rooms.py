"""Arrows between rooms only go down, and no room knows what it must not know."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.house.house import PACKAGE, room, sources

from longtail.registry import KINDS, records

FLOORS: tuple[tuple[str, ...], ...] = (
    ("types", "labels", "registry", "errors", "checks", "records"),
    ("models", "functional", "schedules"),
    ("losses", "samplers", "augment", "posthoc", "metrics"),
    ("objectives", "data"),
    ("engine",),
    ("recipes",),
    ("estimator", "_estimator_inputs", "reports", "adapters"),
    ("cli", "testing", "__main__"),
)
FLOOR = {name: level for level, names in enumerate(FLOORS) for name in names}
#: arrows within one floor that are meant
BESIDE = {
    ("models", "functional"),
    ("__main__", "cli"),
    ("estimator", "_estimator_inputs"),
    *((a, b) for a in FLOORS[0] for b in FLOORS[0]),
}
BELOW_RECIPES = [name for names in FLOORS[:5] for name in names if name != "records"]


def imports(tree: ast.Module) -> Iterator[str]:
    """Dotted names a module imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            base = node.module or ""
            yield from (
                [f"longtail.{a.name}" for a in node.names] if base == "longtail" else [base]
            )


def names_compared(tree: ast.Module) -> Iterator[str]:
    """Strings that a module compares with, matches, or looks for in a literal."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare | ast.MatchValue):
            inside = (n for n in ast.walk(node) if isinstance(n, ast.Constant))
            yield from (n.value for n in inside if isinstance(n.value, str))


def test_every_room_has_a_floor() -> None:
    found = {room(p) for p in sources()} - {"__init__"}
    assert found <= set(FLOOR), f"rooms the table does not know: {found - set(FLOOR)}"


def test_arrows_only_go_down() -> None:
    wrong = []
    for path, tree in sources().items():
        here = room(path)
        for name in imports(tree):
            parts = name.split(".")
            if parts[0] != "longtail" or len(parts) < 2 or here == "__init__":
                continue
            there = parts[1]
            if there not in FLOOR or there == here or (here, there) in BESIDE:
                continue
            if FLOOR[there] >= FLOOR[here]:
                wrong.append(f"{path.relative_to(PACKAGE)} -> {name}")
    assert not wrong, "\n".join(wrong)


def test_only_the_engine_imports_fabric() -> None:
    users = {
        room(path)
        for path, tree in sources().items()
        if any(n.split(".")[0] in ("lightning_fabric", "lightning") for n in imports(tree))
    }
    assert users <= {"engine"}


@pytest.mark.parametrize("name", ["torchvision", "timm", "torchmetrics", "transformers", "pandas"])
def test_no_optional_package_at_module_level(name: str) -> None:
    for path, tree in sources().items():
        top = ast.Module([n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)], [])
        assert not any(n.split(".")[0] == name for n in imports(top)), path


def test_no_room_below_recipes_branches_on_a_method() -> None:
    methods = {r.name for r in records("recipes")}
    found = [
        f"{path.relative_to(PACKAGE)}: {name!r}"
        for path, tree in sources().items()
        if room(path) in BELOW_RECIPES
        for name in names_compared(tree)
        if name in methods
    ]
    assert not found, "\n".join(found)


def test_the_engine_branches_on_no_part() -> None:
    kinds = ("losses", "samplers", "augments", "objectives", "adjusters", "handovers", "networks")
    parts = {r.name for k in kinds for r in records(k)}
    for path, tree in sources().items():
        if room(path) == "engine":
            assert not parts & set(names_compared(tree)), path


def test_the_loop_is_one_page_and_probes_nothing() -> None:
    for path, tree in sources().items():
        if room(path) == "engine":
            called = {getattr(n.func, "id", "") for n in ast.walk(tree) if isinstance(n, ast.Call)}
            assert "hasattr" not in called, path
    assert len((PACKAGE / "engine" / "loop.py").read_text("utf-8").splitlines()) < 150


def test_records_and_recipes_import_no_torch() -> None:
    code = (
        "import sys\n"
        "from longtail.registry import KINDS, records\n"
        "from longtail.engine.stage import make_recipe\n"
        "n = sum(len(records(k)) for k in KINDS)\n"
        "[make_recipe(r) for r in records('recipes')]\n"
        "heavy = {'torch', 'lightning_fabric', 'sklearn', 'scipy', 'plotly', 'pandas'} & set(sys.modules)\n"
        "sys.exit(f'imported {sorted(heavy)} for {n} records' if heavy else 0)\n"
    )
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert got.returncode == 0, got.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_every_record_names_something_that_exists(kind: str) -> None:
    for record in records(kind):
        module, _, attribute = record.target.partition(":")
        assert Path(PACKAGE.parent, *module.split(".")).with_suffix(".py").is_file() or (
            Path(PACKAGE.parent, *module.split("."), "__init__.py").is_file()
        ), record.target
        assert hasattr(importlib.import_module(module), attribute), record.target
