"""Calibration errors against the worked numbers, and the noise floor."""

from __future__ import annotations

import numpy as np
import pytest

from longtail.errors import DataError
from longtail.metrics import ece, ece_debiased, ece_mass, noise_floor, reliability

CONF = [0.95, 0.92, 0.88, 0.81, 0.77, 0.69, 0.62, 0.58, 0.45, 0.38]
OK = [1, 1, 0, 1, 1, 0, 1, 0, 1, 0]


def test_fixture_f3():
    assert ece(CONF, OK, bins=5) == pytest.approx(0.105)
    assert ece_mass(CONF, OK, bins=5) == pytest.approx(0.165)
    assert ece_mass(CONF, OK, bins=2) == pytest.approx(0.105)
    assert ece_mass(CONF, OK, bins=5, power=2) == pytest.approx(0.196660, abs=1e-6)
    assert ece_debiased(CONF, OK, bins=2) == pytest.approx(-0.037454, abs=1e-6)


def test_bins_are_right_closed():
    sums = reliability([0.0, 0.2, 0.2000001, 1.0], [0, 1, 1, 1], bins=5)
    assert sums["count"].tolist() == [2, 1, 0, 0, 1]


def test_bad_input():
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        ece([1.2], [1])
    with pytest.raises(DataError, match="one length"):
        ece([0.5, 0.4], [1])


@pytest.mark.parametrize(
    ("n", "mean", "high"), [(20, 0.230, 0.322), (50, 0.155, 0.216), (200, 0.079, 0.110),
                            (1000, 0.035, 0.050)]
)  # fmt: skip
def test_noise_floor_of_a_calibrated_model(n, mean, high):
    rng = np.random.default_rng(0)
    found = []
    for k in range(30):
        sums = reliability(rng.uniform(0.3, 1, n), np.zeros(n))
        found.append(noise_floor(sums["count"], sums["confidence"], draws=300, seed=k))
    a, b = np.mean(found, 0)
    assert a == pytest.approx(mean, rel=0.06)
    assert b == pytest.approx(high, rel=0.08)
    assert noise_floor(sums["count"], sums["confidence"], seed=1) == noise_floor(
        sums["count"], sums["confidence"], seed=1
    )
