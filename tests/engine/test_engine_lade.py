"""The batch of the LADE regulariser is that of all ranks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.engine.test_engine_ranks import SGD, TOLERANCE, difference, table, two_ranks

from longtail.engine.runner import RunConfig, fit

#: name -> settings; 103 rows in batches of 16: the last one is shared unevenly, 4 and 3
CASES = {
    "plain": (SGD, "alpha=1.0", "penalty=0.1"),
    "class": (SGD, "alpha=1.0", "importance=class"),
    "mixed": (SGD, "alpha=1.0", "augment=[mixup(alpha=1.0)]"),
}


def config(folder: Path, name: str, ranks: str) -> dict[str, Any]:
    common = {"recipe": "lade", "epochs": 3, "batch_size": 16, "progress": False}
    out = str(folder / f"{name}-{ranks}")
    return {"data": str(folder / "table.npz"), "set": CASES[name], "output": out, **common}


@pytest.mark.timeout(600)
def test_two_ranks_train_what_one_rank_trains(tmp_path: Path) -> None:
    table(tmp_path)
    seen = two_ranks(tmp_path, [{"config": config(tmp_path, n, "two")} for n in CASES])
    for number, name in enumerate(CASES):
        assert seen[0][str(number)][1:3] == seen[1][str(number)][1:3], "the ranks differ"
        fit(RunConfig(**config(tmp_path, name, "one")))
        one, two = tmp_path / f"{name}-one", tmp_path / f"{name}-two"
        assert difference(one, two, statistics=True) <= TOLERANCE
        logs = [(f / "metrics.jsonl").read_text().splitlines() for f in (one, two)]
        for mine, theirs in zip(*map(list, logs), strict=True):
            a, b = json.loads(mine), json.loads(theirs)
            assert a["lader"] == pytest.approx(b["lader"], rel=1e-4)


def test_micro_batches_are_batches_of_their_own(tmp_path: Path) -> None:
    """As said in the docs: the regulariser is no mean over rows, so that this is another loss."""
    table(tmp_path)
    whole = config(tmp_path, "plain", "whole")
    cut = {**config(tmp_path, "plain", "cut"), "accumulate": 4}
    for one in (whole, cut):
        fit(RunConfig(**one))
    assert difference(Path(whole["output"]), Path(cut["output"])) > 1e-4
