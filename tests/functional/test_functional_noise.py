"""Noise keyed by row."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from longtail.functional.noise import normal, spread


def test_rows_do_not_depend_on_each_other() -> None:
    keys = torch.rand(20, generator=torch.Generator().manual_seed(0))
    whole = spread(keys, 7)
    assert torch.equal(whole, torch.cat([spread(k, 7) for k in keys.split(6)]))
    assert torch.equal(whole[:, :3], spread(keys, 3))
    assert len(whole.unique()) == whole.numel()


def test_numbers_are_uniform_and_independent() -> None:
    u = spread(torch.arange(500) / 500, 400)
    assert float(u.min()) > 0
    assert float(u.max()) < 1
    assert stats.kstest(u.flatten().numpy(), "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(u[:, :-1].flatten(), u[:, 1:].flatten())[0, 1]) < 0.01
    assert abs(np.corrcoef(u[:-1].flatten(), u[1:].flatten())[0, 1]) < 0.01
    assert stats.kstest(normal(u).flatten().numpy(), "norm").pvalue > 1e-3
