"""Features of a frozen stage computed once: the same as at every step, or refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longtail.engine.build import Settings, build_stage
from longtail.engine.feed import Drawn
from longtail.engine.loop import run_stage
from longtail.engine.runner import RunConfig, fit
from longtail.engine.stage import Recipe, Stage
from longtail.errors import ConfigError
from longtail.registry import part
from longtail.testing.toy import toy_data, toy_state

SECOND = Stage(
    3, name="second", sampler=part("class_balanced"), trains="head", bn="eval",
    optimizer=part("sgd", lr=0.1),
)  # fmt: skip


def trained(network: str = "single", **changes: Any) -> dict[str, torch.Tensor]:
    """State of the toy network after one frozen stage; a first pass moves its statistics."""
    stage = dataclasses.replace(SECOND, **changes)
    state = toy_state(Recipe(stages=(stage,), network=part(network)))
    with torch.no_grad():
        state.network(state.data.rows(torch.arange(36)))
    built = build_stage(state, stage, 0, Settings(batch_size=18))
    run_stage(built, [])
    return dict(state.network.state_dict())


@pytest.mark.parametrize("network", ["single", "experts", "two_branch"])
def test_plain_rows_once_are_plain_rows_every_time(network: str) -> None:
    nothing = part("shift", pixels=0)
    exact = trained(network, views=(nothing,))
    cached = trained(network, cache=0)
    assert exact.keys() == cached.keys()
    for key, value in exact.items():
        torch.testing.assert_close(cached[key], value, rtol=1e-5, atol=1e-6)
    start = toy_state(Recipe(stages=(SECOND,), network=part(network))).network.state_dict()
    assert not torch.equal(cached["head.weight" if network != "experts" else "head.0.weight"],
                           start["head.weight" if network != "experts" else "head.0.weight"])  # fmt: skip


def test_views_are_drawn_among() -> None:
    """Two views that are alike are the plain rows; two that differ are not."""
    plain, alike = trained(cache=0), trained(cache=2, views=(part("shift", pixels=0),))
    assert not torch.equal(trained(cache=2)["head.weight"], plain["head.weight"])
    for key, value in plain.items():
        torch.testing.assert_close(alike[key], value, rtol=1e-5, atol=1e-6)


def test_the_network_is_run_once_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    from longtail.models import SingleNetwork

    rows = []
    hidden = SingleNetwork.hidden
    monkeypatch.setattr(
        SingleNetwork, "hidden", lambda self, x: rows.append(len(x)) or hidden(self, x)
    )
    state = toy_state(Recipe(stages=(SECOND,)))
    for cache, expected in ((0, 36 + 16), (3, 3 * 36 + 16)):
        rows.clear()
        stage = dataclasses.replace(SECOND, cache=cache)
        run_stage(build_stage(state, stage, 0, Settings(batch_size=18)), [])
        assert sum(rows) == expected, "training rows, and validation rows"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trains": "all"}, "trains backbone"),
        ({"bn": "update_stats"}, "moves BatchNorm"),
        ({"augment": (part("mixup"),)}, "mixup mixes inputs"),
        ({"views": (None, None)}, "several views"),
        ({"cache": -1}, "whole number"),
    ],
)
def test_what_would_change_the_features_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        trained(**{"cache": 0, **changes})
    assert "null" in caught.value.do


def test_it_is_refused_before_the_first_stage(tmp_path: Path) -> None:
    settings = ("stages.1.trains=all",)
    with pytest.raises(ConfigError, match="cannot cache"):
        fit(RunConfig(recipe="crt", set=settings, progress=False), dataset=toy_data())


def test_exact_mode_remains() -> None:
    runs = [
        fit(RunConfig(recipe="crt", set=(s,), epochs=2, progress=False), dataset=toy_data())
        for s in ("cache=0", "cache=null")
    ]
    heads = [r.network.state_dict()["head.weight"] for r in runs]
    assert not torch.equal(*heads)
    trunks = [r.network.state_dict()["backbone.pieces.stem.conv.weight"] for r in runs]
    assert torch.equal(*trunks)


def test_the_largest_uniform_draws_the_last_cached_view(monkeypatch: pytest.MonkeyPatch) -> None:
    state = toy_state(Recipe(stages=(SECOND,)))
    state.data.variants = 3
    built = build_stage(state, SECOND, 0, Settings(batch_size=18))
    top = np.full(1, 1 - 2.0**-53)
    monkeypatch.setattr("longtail.engine.feed.uniforms", lambda *key, n: top.repeat(n))
    plan = built.feed.plan(1)
    drawn = Drawn.of(plan, "", built.feed.main.data, torch.device("cpu"))
    assert (drawn.store == state.data.index[plan.orders[""]] + 2 * 36).all()
