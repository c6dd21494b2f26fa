"""Shape of class counts against the worked table."""

from __future__ import annotations

import numpy as np
import pytest

from longtail.errors import DataError
from longtail.metrics import gini, shape

C10 = [int(5000 * 0.01 ** (i / 9)) for i in range(10)]
C100 = [int(500 * 0.01 ** (i / 99)) for i in range(100)]
DIGITS = [120, 77, 50, 32, 21, 13, 8, 5, 3, 2]
ZIPF = [round(1000 / r) for r in range(1, 101)]
KEYS = ("imbalance_factor", "gini", "entropy", "effective_classes", "simpson_classes",
        "top_20_share", "bottom_half_share", "half_in", "under_20", "zipf_slope", "zipf_r2",
        "exponential_r2")  # fmt: skip
TABLE = [
    ([100, 10, 1], (100, 0.594595, 0.321577, 1.4237, 1.2198, 0.9009, 0.0090, 1, 2, 4.098, 0.978, 1.0)),
    (C10, (100, 0.612816, 0.713862, 5.1744, 3.9448, 0.6446, 0.0718, 2, 0, 2.012, 0.906, 1.0)),
    (C100, (100, 0.591851, 0.870217, 55.009, 41.961, 0.6133, 0.0872, 15, 30, 1.319, 0.799, 1.0)),
    (DIGITS, (60, 0.569486, 0.758874, 5.7395, 4.4600, 0.5952, 0.0937, 2, 5, 1.794, 0.895, 0.999)),
    (ZIPF, (100, 0.624719, 0.799104, 39.647, 16.445, 0.6939, 0.1327, 7, 49, 1.001, 1.0, 0.803)),
]  # fmt: skip


@pytest.mark.parametrize(("counts", "want"), TABLE)
def test_worked_table(counts, want):
    found = shape(np.random.default_rng(0).permutation(counts))
    for key, value in zip(KEYS, want, strict=True):
        assert found[key] == pytest.approx(value, abs=6e-4, rel=2e-5), key
    assert found["better_fit"] == ("zipf" if counts is ZIPF else "exponential")


def test_machine_readable_numbers():
    found = shape(C10)
    assert found["gini"] == pytest.approx(0.612816, abs=1e-6)
    assert found["entropy"] == pytest.approx(0.713862, abs=1e-6)
    assert found["effective_classes"] == pytest.approx(5.174423, abs=1e-6)
    assert found["simpson_classes"] == pytest.approx(3.944774, abs=1e-6)
    assert found["top_20_share"] == pytest.approx(0.644607, abs=1e-6)


def test_edges():
    even = shape([7, 7, 7, 7])
    assert even["gini"] == pytest.approx(0)
    assert even["entropy"] == pytest.approx(1)
    assert even["effective_classes"] == pytest.approx(4)
    assert even["hill"] is None
    empty = shape([10, 5, 0])
    assert empty["imbalance_factor"] == float("inf")
    assert empty["empty"] == 1
    assert gini([10, 5, 0]) == pytest.approx(2 * (2 * 5 + 3 * 10) / 45 - 4 / 3)
    for bad in ([5], [0, 0], [3, -1], [3, float("nan")]):
        with pytest.raises(DataError):
            shape(bad)
