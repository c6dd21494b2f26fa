"""docs/recipes.md says what the registry says."""

from __future__ import annotations

import runpy

from tests.docs.fences import ROOT


def test_the_page_is_current() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "make.py"))["page"]
    written = (ROOT / "docs" / "recipes.md").read_text("utf-8")
    assert written == page(), "run: python docs/make.py"
