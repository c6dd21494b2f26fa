"""Class-aware sampling with runs that are longer than any class."""

from __future__ import annotations

import numpy as np
import pytest

from longtail.samplers import ClassAware, passes


def test_long_runs_draw_the_same_rows_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = ClassAware(700, labels=np.repeat([0, 1, 2], [3000, 600, 200]))
    wanted = sampler.draw(1)
    monkeypatch.setattr(passes, "_DENSE", 1)
    assert sampler.draw(1).tolist() == wanted.tolist()


@pytest.mark.timeout(20)
def test_a_run_beyond_all_rows_costs_no_more_than_the_rows_drawn() -> None:
    assert len(ClassAware(10**9, labels=[0] * 50 + [1] * 10).draw(0)) == 60
