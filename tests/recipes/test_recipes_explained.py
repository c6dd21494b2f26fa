"""What ``longtail explain ID`` says of the re-balancing, classifier and decoupled methods."""

from __future__ import annotations

import re

import pytest

from longtail.registry import Record, records

STREETS = ("resampling", "cost_sensitive", "logit_adjustment", "classifier", "decoupled")
SAID = ("what", "formula", "use", "cost", "composes", "avoid")
RECIPES = [r for r in records("recipes") if r.family in STREETS]


@pytest.mark.parametrize("record", RECIPES, ids=lambda r: r.name)
def test_everything_a_reader_asks_for(record: Record) -> None:
    for key in SAID:
        assert len(record.details.get(key, "")) >= 15, f"{key}: {record.details.get(key)!r}"
    assert set(record.details) <= {*SAID, "interpretation"}
    assert len(re.findall(r"[.!?](?:\s|$)", record.details["what"])) == 2, "two sentences"
    if record.reference.startswith("after "):
        assert len(record.details.get("interpretation", "")) >= 15


def test_no_two_say_the_same() -> None:
    for key in ("what", "formula"):
        said = [r.details[key] for r in RECIPES]
        assert len(set(said)) == len(said)
