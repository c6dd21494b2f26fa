"""The run card: every field is there, and nothing is blank."""

from __future__ import annotations

import re

from tests.reports.report_folders import EVIL

from longtail.reports import write_card


def test_the_card_has_every_section(make_run):
    folder = make_run(names=[EVIL, "a|b", *(f"class {i}" for i in range(8))])
    path = write_card(folder)
    text = path.read_text(encoding="utf-8")
    assert path == folder / "card.md"
    heads = re.findall(r"^## (.*)$", text, re.M)
    assert heads == [
        "Use", "Data", "Training", "Prior", "Results", "Known failures", "Calibration",
        "Decision", "Cost", "Licence and contact",
    ]  # fmt: skip
    assert "not measured" in text
    assert EVIL not in text
    assert "&lt;script>" in text
    assert r"a\|b" in text
    assert not list(folder.glob("*.partial"))


def test_missing_is_not_measured_and_never_blank(make_run):
    folder = make_run(without=["run.json", "metrics.jsonl", "predictions.npz"])
    text = write_card(folder).read_text(encoding="utf-8")
    assert "- Confused pairs: not measured" in text
    for line in text.splitlines():
        if line.startswith("- "):
            assert not line.endswith(":"), line
        if line.startswith("|"):
            assert "|  |" not in line, line
