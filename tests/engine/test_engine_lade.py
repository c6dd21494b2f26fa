"""The batch of the LADE regulariser is that of all ranks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.test_engine_ranks import SGD, TOLERANCE, difference, table, two_ranks

from longtail.engine.runner import RunConfig, fit
from longtail.engine.stage import make_recipe
from longtail.errors import ConfigError
from longtail.functional import lade_regulariser
from longtail.objectives import Lade
from longtail.registry import get
from longtail.testing.toy import first_batch, toy_stage

#: name -> settings; 103 rows in batches of 16: the last one is shared unevenly, 4 and 3
CASES = {
    "plain": (SGD, "alpha=1.0", "penalty=0.1"),
    "class": (SGD, "alpha=1.0", "importance=class"),
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


def test_mixed_targets_count_by_their_shares() -> None:
    built = toy_stage(make_recipe(get("recipes", "lade"), alpha=1.0, penalty=0.2))
    batch = first_batch(built)
    g = torch.Generator().manual_seed(0)
    other, share = batch.target.flip(0), torch.rand(len(batch), generator=g)
    weight = torch.rand(len(batch), generator=g)
    pairs = [(batch.target, share), (other, 1 - share)]
    mixed = batch.with_(mixed=pairs, sample_weight=weight)
    terms = built.objective.terms(built.ctx, mixed)
    z = built.ctx.model(batch.views[0]).logits.detach()
    hot = [torch.nn.functional.one_hot(t, z.shape[1]) for t, _ in pairs]
    q = share[:, None] * hot[0] + (1 - share)[:, None] * hot[1]
    log_prior = built.ctx.stats.log_prior
    value = lade_regulariser(z, q, log_prior, penalty=0.2, sample_weight=weight)
    ce = -(weight * (q * (z + log_prior).log_softmax(1)).sum(1)).sum() / len(batch)
    assert terms.parts["lader"].item() == pytest.approx(value.item(), rel=1e-4)
    assert terms.total.item() == pytest.approx((ce + value).item(), rel=1e-4)


@pytest.mark.parametrize(
    "options", [{"alpha": -0.1}, {"penalty": float("nan")}, {"importance": "row"}]
)
def test_weights_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        Lade(**options)
    assert len(str(caught.value).splitlines()) == 2


def test_micro_batches_are_batches_of_their_own(tmp_path: Path) -> None:
    """As said in the docs: the regulariser is no mean over rows, so that this is another loss."""
    table(tmp_path)
    whole = config(tmp_path, "plain", "whole")
    cut = {**config(tmp_path, "plain", "cut"), "accumulate": 4}
    for one in (whole, cut):
        fit(RunConfig(**one))
    assert difference(Path(whole["output"]), Path(cut["output"])) > 1e-4
