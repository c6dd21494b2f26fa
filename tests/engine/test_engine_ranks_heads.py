"""Heads filled from data and heads with moving statistics, on two ranks as on one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.engine.test_engine_ranks import SGD, TOLERANCE, table, two_ranks, weights

from longtail.engine.runner import RunConfig, fit

#: name -> (recipe, settings): tables have no BatchNorm, so that both see the very same features
CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "tde": ("tde", (SGD,)),
    "moving means": (
        "generative_head",
        (SGD, "kind=gaussian_proto", "head=gaussian_proto(means=moving)", "objective=moving_head"),
    ),
    "ncm": ("ncm", (SGD, "head=ncm(normalise=None)", "finish=[fit_head(), choose_head()]")),
    "lda": ("generative_head", (SGD,)),
    "pooled": ("generative_head", (SGD, "covariance=pooled")),
    "etf": ("etf", (SGD, "network=single", "lengths=counts")),
}
#: what of each must have been made from data
MADE = {
    "tde": "head.direction",
    "moving means": "head.weight",
    "ncm": "head.means",
    "lda": "head.planes",
    "pooled": "head.planes",
}
#: solving with a covariance magnifies the last digits in which the features differ
MAGNIFIED = {"lda": 10, "pooled": 10}


@pytest.mark.timeout(600)
def test_two_ranks_fill_a_head_as_one_does(tmp_path: Path) -> None:
    base: dict[str, Any] = {"epochs": 3, "batch_size": 16, "progress": False, "validation": 0.2}
    base["data"] = str(table(tmp_path))
    configs = {
        name: {**base, "recipe": recipe, "set": settings}
        for name, (recipe, settings) in CASES.items()
    }
    cases = [
        {"config": {**config, "output": str(tmp_path / f"{name}-two")}}
        for name, config in configs.items()
    ]
    seen = two_ranks(tmp_path, cases)
    for number, (name, config) in enumerate(configs.items()):
        fit(RunConfig(**config, output=tmp_path / f"{name}-one"))
        first, second = (one[str(number)][1:3] for one in seen)
        assert first == second, f"{name}: the ranks differ"
        one, two = (weights(tmp_path / f"{name}-{ranks}") for ranks in ("one", "two"))
        assert one.keys() == two.keys()
        for key, value in one.items():
            far = float((value - two[key]).abs().max())
            allowed = MAGNIFIED.get(name, 1) * TOLERANCE * max(1, float(value.abs().max()))
            assert far <= allowed, f"{name}: {key} by {far}"
        if name in MADE:
            assert float(two[f"network/{MADE[name]}"].abs().sum()) > 0
