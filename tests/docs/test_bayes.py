"""The page on the least balanced error: its arithmetic, and its claim on one setting."""

from __future__ import annotations

import importlib.util
import math
from types import ModuleType

import numpy as np
import pytest
import torch
from tests.docs.fences import ROOT

from longtail import create


@pytest.fixture(scope="module")
def bayes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bayes", ROOT / "benchmarks" / "bayes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_error_of_a_boundary_is_exact(bayes: ModuleType) -> None:
    best = torch.tensor([[-1.0, 1.0], [-1.0, 1.0], [0.0, 0.0]])
    assert bayes.balanced_error(best) == pytest.approx(bayes.BAYES)
    assert pytest.approx(0.078650, abs=1e-6) == bayes.BAYES
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 2, generator=g, dtype=torch.float64)
    x, y = bayes.sample(3, 0.5, 200_000, 1)
    hat = (torch.cat([x, torch.ones(len(x), 1).double()], 1) @ weight).argmax(1)
    missed = [float((hat[y == c] != c).double().mean()) for c in (0, 1)]
    assert bayes.balanced_error(weight) == pytest.approx(np.mean(missed), abs=0.004)
    assert bayes.balanced_error(weight) >= bayes.BAYES


def test_la_is_the_adjusted_maximum_likelihood(bayes: ModuleType) -> None:
    x, y = bayes.sample(2, 0.05, 2000, 3)
    counts = torch.bincount(y)
    plain = bayes.minimise(create("loss", "cross_entropy"), x, y)
    la = bayes.minimise(create("loss", "la", class_counts=counts), x, y)
    plain[-1] -= (counts.double() / len(y)).log()
    assert bayes.balanced_error(plain) == pytest.approx(bayes.balanced_error(la), abs=1e-6)


def test_la_reaches_it_and_the_others_do_not(bayes: ModuleType) -> None:
    each = [bayes.excess(20, 0.02, 4000, seed) for seed in range(5)]
    mean = {k: float(np.mean([e[k] for e in each])) for k in each[0]}
    plane = [bayes.excess(2, 0.05, 5000, seed)["la"] for seed in range(3)]
    assert np.mean(plane) < 0.1
    assert 0 < mean["la"] < mean["la_pairwise"] < mean["weighted_ce"]
    assert all(e["weighted_ce"] > e["la"] for e in each)
    assert mean["weighted_ce"] > 1.4 * mean["la"]
    assert min(mean["ldam"], mean["ce"]) > 8


def test_the_page_holds_the_numbers_of_the_table(bayes: ModuleType) -> None:
    rows = bayes.table(2, ((2, 0.05, 400), (20, 0.05, 400)))
    page = bayes.page(rows)
    for row in rows:
        assert f"{row['la'][0]:.3f} ± {row['la'][1]:.3f}" in page
        assert math.isfinite(row["gap"][1])
    written = bayes.PAGE.read_text(encoding="utf-8")
    assert written.count("\n| ") == 2 + len(bayes.SETTINGS)
    assert f"{100 * bayes.BAYES:.3f} %" in written
