"""Sizes, public names and what no file may hold."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.house.house import PACKAGE, ROOT, room, sources, tracked

FILE_LINES = 400
FUNCTION_LINES = 60
ROOMS = sorted(p.parent for p in PACKAGE.glob("*/__init__.py"))
#: names that stand for work left undone; split so that this file does not hold them
LOOSE = re.compile("|".join(("TO" + "DO", "FIX" + "ME", r"\bTB" + r"D\b", r"\bXX" + r"X\b")))
MACHINE = re.compile("/" + r"(?:work|farm|root|home)" + r"/[a-z]")
TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".cff", ".html", ".js", ".css", ".j2", ""}


def in_order(names: Sequence[str]) -> bool:
    """Sorted: plainly, or constants first, then classes, then the rest, numbers by value."""

    def key(name: str) -> tuple[int, list[str | int]]:
        kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
        parts = re.split(r"(\d+)", name)
        return kind, [int(p) if i % 2 else p for i, p in enumerate(parts)]

    return list(names) in (sorted(names), sorted(names, key=key))


def texts() -> Iterator[tuple[Path, str]]:
    """Text files of the project."""
    for path in tracked():
        if path.suffix in TEXT and path.name != "LICENSE":
            yield path, path.read_text("utf-8")


def test_files_are_under_400_lines() -> None:
    long = {
        p: n for p, text in texts() if p.suffix == ".py" and (n := text.count("\n")) >= FILE_LINES
    }
    assert not long


def test_functions_are_under_60_lines() -> None:
    long = [
        f"{path.relative_to(PACKAGE)}:{node.name} {node.end_lineno - node.lineno + 1}"
        for path, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 >= FUNCTION_LINES
    ]
    assert not long, long


def public(tree: ast.Module) -> set[str]:
    """Public names that a module binds at its top level, imported ones of the package too."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("longtail"):
            names.update(a.asname or a.name for a in node.names)
    return {n for n in names if not n.startswith("_")}


@pytest.mark.parametrize("folder", ROOMS, ids=lambda p: p.name)
def test_a_room_lists_what_it_offers(folder: Path) -> None:
    listed = importlib.import_module(f"longtail.{folder.name}").__all__
    assert in_order(listed)
    if folder.name != "records":
        missing = public(sources()[folder / "__init__.py"]) - set(listed)
        assert not missing, f"not in __all__: {missing}"


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_lists_names_that_exist(path: Path) -> None:
    if path.name == "__main__.py":
        pytest.skip("importing it runs the command line")
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    module = importlib.import_module(".".join(p for p in parts if p != "__init__"))
    listed = module.__all__
    assert in_order(listed)
    for name in listed:
        assert getattr(module, name) is not None


def test_every_module_says_what_it_is() -> None:
    silent = [p for p, tree in sources().items() if len(ast.get_docstring(tree) or "") < 10]
    assert not silent


def test_nothing_is_left_undone() -> None:
    found = [
        f"{p.relative_to(ROOT)}:{i}"
        for p, text in texts()
        for i, line in enumerate(text.splitlines(), 1)
        if LOOSE.search(line)
    ]
    assert not found, found


def test_no_path_of_a_machine() -> None:
    found = [
        f"{p.relative_to(ROOT)}:{i}"
        for p, text in texts()
        for i, line in enumerate(text.splitlines(), 1)
        if MACHINE.search(line)
    ]
    assert not found, found


def test_every_install_line_is_constrained() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "Makefile", ".ci/run"):
        for line in (ROOT / name).read_text("utf-8").splitlines():
            if "pip install" in line:
                assert re.search(r"-c [\"$]?\S*constraints|--no-deps", line), f"{name}: {line}"


def test_parts_never_touch_the_global_random_state() -> None:
    calls = re.compile(r"torch\.manual_seed|np\.random\.seed|random\.seed\(|set_rng_state")
    for path, text in texts():
        if path.suffix == ".py" and path.is_relative_to(PACKAGE):
            for line in text.splitlines():
                if calls.search(line):
                    assert room(path) in ("models", "engine"), f"{path.name}: {line.strip()}"
