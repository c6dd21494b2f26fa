"""Bootstrap, paired comparison, tests and verdicts."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from longtail.errors import ConfigError, DataError
from longtail.metrics import (
    compare,
    compare_all,
    holm,
    intervals,
    intervals_from_counts,
    mdd,
    paired,
    required_test_per_class,
    seed_row_variance,
    verdict,
    wilson,
)
from longtail.metrics.bootstrap import resample, score_table
from longtail.types import ClassStats

STATS3 = ClassStats([300, 50, 5])


def _run(y, right, ids=None, c=3):
    hat = np.where(right, y, (y + 1) % c)
    names = [f"row{i}" for i in range(len(y))] if ids is None else ids
    return {"ids": names, "target": y, "prediction": hat}


def _worked():
    d = [(1, 0, 0, 0, -1, 1, 0, 0, 0, 0), (1, 1, 0, 0, 0), (1, 0, -1, 1)]
    y = np.repeat([0, 1, 2], [10, 5, 4])
    return np.concatenate(d).astype(float), y


def test_worked_paired_difference():
    d, y = _worked()
    found = paired((d > 0)[None] * 1.0, (d < 0)[None] * 1.0, y, STATS3)["balanced_accuracy"]
    assert found.delta == pytest.approx(0.25)
    assert found.se == pytest.approx(0.188971, abs=1e-6)
    # without the correction of tiny classes the bootstrap has divisor m
    parts = [d[y == c] for c in range(3)]
    plain = np.sqrt(sum(p.var() / len(p) for p in parts)) / 3
    assert plain == pytest.approx(0.166291, abs=1e-6)
    values, table = score_table(d, y, 3)
    draws = resample(values, table, np.array([0, 1, 2]), draws=40000).draws["balanced_accuracy"]
    stretch = [1.0 if len(p) >= 10 else len(p) / (len(p) - 1) for p in parts]
    want = np.sqrt(sum(s * p.var() / len(p) for p, s in zip(parts, stretch, strict=True))) / 3
    assert draws.std() == pytest.approx(want, rel=0.02)


def test_uncorrected_interval_of_the_worked_example():
    d, y = _worked()
    rng = np.random.default_rng(0)
    parts = [d[y == c] for c in range(3)]
    direct = np.mean([rng.choice(p, (20000, len(p))).mean(1) for p in parts], 0)
    low, high = np.quantile(direct, [0.025, 0.975])
    assert (low, high) == pytest.approx((-0.0833, 0.5667), abs=0.02)
    found = paired((d > 0)[None] * 1.0, (d < 0)[None] * 1.0, y, STATS3)["balanced_accuracy"]
    assert found.interval[0] < low
    assert found.interval[1] > high - 0.02


def test_multinomial_shortcut_equals_resampling_rows():
    rng = np.random.default_rng(3)
    m = [40, 40, 25, 12]
    y = np.repeat(np.arange(4), m)
    score = rng.integers(0, 4, len(y)) / 3
    stats = ClassStats([300, 200, 50, 5])
    values, table = score_table(score, y, 4)
    group = np.array([0, 0, 1, 2])
    fast = resample(values, table, group, draws=20000, seed=1)
    slow = {k: np.zeros(20000) for k in ("accuracy", "balanced_accuracy", "many")}
    for c in range(4):
        part = score[y == c]
        mean = rng.choice(part, (20000, len(part))).mean(1)
        slow["accuracy"] += mean * m[c] / sum(m)
        slow["balanced_accuracy"] += mean / 4
        slow["many"] += mean / 2 if c < 2 else 0
    for name, draws in slow.items():
        assert fast.draws[name].mean() == pytest.approx(draws.mean(), abs=3e-3)
        assert fast.draws[name].std() == pytest.approx(draws.std(), rel=0.03)
    found = intervals(y, score, stats)
    want = np.quantile(slow["balanced_accuracy"], [0.025, 0.975])
    assert found["balanced_accuracy"] == pytest.approx(want, abs=0.01)


def test_intervals_of_counts_rows_and_empty_groups():
    y = np.repeat([0, 1, 2], [60, 40, 30])
    ok = np.arange(len(y)) % 3 > 0
    stats = ClassStats([500, 300, 50], benchmark=True)
    k, m = np.bincount(y, ok), np.bincount(y)
    found = intervals(y, ok, stats, seed=4)
    assert found == intervals_from_counts(k, m, stats, seed=4)
    assert found["few"] is None
    assert found["accuracy"][0] < ok.mean() < found["accuracy"][1]
    order = np.array([2, 0, 1])
    renamed = ClassStats(stats.raw[torch.tensor(order)], benchmark=True)
    again = intervals_from_counts(k[order], m[order], renamed, seed=4)
    for name in ("accuracy", "balanced_accuracy", "many", "medium"):
        assert again[name] == pytest.approx(found[name])
    assert set(intervals([], [], stats).values()) == {None}
    with pytest.raises(DataError):
        intervals_from_counts([5, 1, 1], [4, 4, 4], stats)
    with pytest.raises(DataError, match="outside"):
        intervals([0, 3], [1, 1], stats)


def test_accuracy_interval_is_near_the_normal_one():
    y = np.repeat([0, 1], 500)
    ok = np.arange(1000) % 5 > 0
    low, high = intervals(y, ok, ClassStats([150, 3]))["accuracy"]
    half = 1.96 * np.sqrt(0.8 * 0.2 / 1000)
    assert (low, high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.003)


def test_rows_are_paired_by_id_and_seeds_averaged():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 40)
    a = [_run(y, rng.random(120) < 0.8) for _ in range(3)]
    b = [_run(y, rng.random(120) < 0.5) for _ in range(2)]
    shuffled = []
    for run in a:
        order = rng.permutation(120)
        shuffled.append({k: np.asarray(v)[order] for k, v in run.items()})
    one, two = compare(a, b, STATS3), compare(shuffled, b, STATS3)
    assert {k: v.to_data() for k, v in one.items()} == {k: v.to_data() for k, v in two.items()}
    found = one["accuracy"]
    right = [[(r["prediction"] == y).mean() for r in runs] for runs in (a, b)]
    assert found.a == pytest.approx(np.mean(right[0]))
    assert found.delta == pytest.approx(np.mean(right[0]) - np.mean(right[1]))
    assert found.seed_deviation == pytest.approx([np.std(r, ddof=1) for r in right])
    assert found.seeds == (3, 2)
    assert found.verdict == "better"
    assert len(found.notes) == 1
    assert "can only show differences above" in found.notes[0]
    assert compare(b, a, STATS3)["accuracy"].verdict == "worse"
    single = compare(a[:1], b, STATS3)["accuracy"]
    assert single.seed_deviation[0] is None
    assert "one seed" in single.notes[0]


def test_other_rows_are_refused():
    y = np.repeat([0, 1, 2], 4)
    run = _run(y, y == 0)
    with pytest.raises(DataError, match="different rows: 12 only in one"):
        compare([run], [_run(y, y == 0, [f"x{i}" for i in range(12)])], STATS3)
    with pytest.raises(DataError, match="different labels"):
        compare([run], [_run(np.roll(y, 4), y == 0)], STATS3)
    with pytest.raises(DataError, match="occur twice"):
        compare([run], [_run(y, y == 0, ["same"] * 12)], STATS3)
    with pytest.raises(DataError, match="without runs"):
        compare([run], [], STATS3)


def test_equal_methods_are_within_noise():
    y = np.repeat([0, 1, 2], 100)
    run = _run(y, np.arange(300) % 3 > 0)
    found = compare([run], [run], STATS3)["balanced_accuracy"]
    assert (found.delta, found.p, found.interval) == (0.0, 1.0, (0.0, 0.0))
    assert found.verdict == "within noise"


def test_many_methods_can_still_be_told_apart():
    """66 p-values of 2,000 resamples would all be above 0.05 after the correction."""
    y = np.repeat([0, 1, 2], 40)
    right = np.arange(120) % 2 == 0
    methods = {"ce": [_run(y, np.ones(120, bool))]}
    methods |= {f"m{i}": [_run(y, right)] for i in range(66)}
    assert {c.verdict for c in compare_all(methods, STATS3).values()} == {"worse"}


def test_compare_all_adjusts_over_the_methods():
    rng = np.random.default_rng(2)
    y = np.repeat([0, 1, 2], 1500)
    methods = {n: [_run(y, rng.random(4500) < q)] for n, q in
               (("ce", 0.5), ("good", 0.7), ("same", 0.5), ("bad", 0.3))}  # fmt: skip
    found = compare_all(methods, STATS3)
    assert [found[k].verdict for k in ("good", "same", "bad")] == [
        "better",
        "within noise",
        "worse",
    ]
    raw = [found[k].p for k in found]
    assert [found[k].p_holm for k in found] == pytest.approx(holm(raw))
    with pytest.raises(ConfigError, match="did you mean 'good'"):
        compare_all(methods, STATS3, baseline="goood")
    with pytest.raises(ConfigError):
        compare_all(methods, STATS3, metric="ece")
    benchmark = ClassStats([500, 400, 300], benchmark=True)
    assert compare_all(methods, benchmark, metric="few")["good"] is None


def test_a_class_with_one_row_borrows_variance():
    y = np.array([0] * 20 + [1] * 20 + [2])
    ok = np.arange(41) % 2 == 0
    stats = ClassStats([5, 4, 3])
    alone = intervals(y, ok, stats)["balanced_accuracy"]
    values, table = score_table(ok * 1.0, y, 3)
    drawn = resample(values, table, np.array([2, 2, 2]))
    assert drawn.borrowed == 1
    pooled = (20 * 0.25 * 2) / 38
    want = np.sqrt((0.25 / 20 * 2 + pooled) / 9)
    assert drawn.draws["balanced_accuracy"].std() == pytest.approx(want, rel=0.05)
    assert alone[1] - alone[0] > 0.3
    note = paired(ok[None] * 1.0, ~ok[None] * 1.0, y, stats)["accuracy"].notes
    assert any("variance of 1 classes" in line for line in note)


def test_worked_tests():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    parts = seed_row_variance([[1, 1, 0, 1], [1, 0, 0, 1], [1, 1, 0, 0]])
    assert parts["ms_seed"] == pytest.approx(0.083333, abs=1e-6)
    assert parts["ms_row"] == pytest.approx(0.527778, abs=1e-6)
    assert parts["ms_err"] == pytest.approx(0.194444, abs=1e-6)
    assert (parts["seed"], parts["row"]) == pytest.approx((0, 0.111111), abs=1e-6)
    assert wilson(0, 5) == pytest.approx((0, 0.434482), abs=1e-6)
    assert wilson(3, 5) == pytest.approx((0.230724, 0.882379), abs=1e-6)
    assert wilson(5, 5) == pytest.approx((0.566, 1), abs=1e-3)
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(DataError):
        holm([0.2, 1.2])
    with pytest.raises(DataError):
        wilson(3, 2)


@pytest.mark.parametrize(
    ("counts", "psi", "points"),
    [([50] * 10, 0.1, 3.96204), ([50] * 3, 0.2, 10.2), ([100] * 100, 0.2, 1.25),
     ([100] * 30, 0.2, 2.29), ([3] * 8142, 0.2, 0.80), ([5] * 10, 0.2, 17.7), ([5], 0.3, 68.6),
     ([50], 0.3, 21.7)],
)  # fmt: skip
def test_smallest_difference(counts, psi, points):
    digits = 3.97e-6 if points == 3.96204 else 0.05
    assert 100 * mdd([*counts, 0], discordance=psi) == pytest.approx(points, abs=digits)


def test_required_rows_and_verdicts():
    assert required_test_per_class(0.02, 10) == 393
    assert required_test_per_class(0.05, 10) == 63
    assert verdict(0.02, 0.01) == "better"
    assert verdict(-0.02, 0.01) == "worse"
    assert verdict(0.004, 0.001) == "within noise"
    assert verdict(0.04, 0.2, 0.06) == "cannot tell"
    assert verdict(0.04, 0.2, 0.04) == "within noise"
    with pytest.raises(DataError):
        mdd([0, 0])
    with pytest.raises(DataError):
        required_test_per_class(0, 3)


def test_large_comparisons_are_quick():
    rng = np.random.default_rng(0)
    start = time.process_time()
    y = np.repeat(np.arange(8142), 3)
    stats = ClassStats(np.arange(8142) % 300 + 1)
    a, b = (rng.random((3, len(y))) < q for q in (0.6, 0.5))
    found = paired(a * 1.0, b * 1.0, y, stats)["balanced_accuracy"]
    assert found.verdict == "better"
    assert time.process_time() - start < 4


def _null(rows, reps, seed):
    """Share of rejections where both methods are two seeds of one."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(rows)), rows)
    stats = ClassStats(np.arange(len(rows)) + 2)
    skill = rng.uniform(0.3, 0.9, len(y))
    hits = 0
    for k in range(reps):
        a, b = (rng.random((1, len(y))) < skill for _ in range(2))
        p = paired(a * 1.0, b * 1.0, y, stats, draws=500, seed=k)["balanced_accuracy"].p
        hits += p < 0.05
    return hits / reps


@pytest.mark.full
def test_null_calibration():
    assert 0.03 <= _null([40] * 10, 600, 0) <= 0.075
    assert _null([1] * 12 + [30] * 8, 600, 1) <= 0.075


@pytest.mark.full
def test_power_at_the_smallest_difference():
    rng = np.random.default_rng(5)
    c, m, psi = 10, 100, 0.2
    limit = mdd([m] * c, discordance=psi)
    stats, y = ClassStats(np.arange(c) + 2), np.repeat(np.arange(c), m)
    hits = 0
    for k in range(400):
        u = rng.random(len(y))
        a = (u < (psi + limit) / 2)[None] * 1.0
        b = ((u >= (psi + limit) / 2) & (u < psi))[None] * 1.0
        hits += paired(a, b, y, stats, draws=500, seed=k)["balanced_accuracy"].p < 0.05
    assert 0.72 <= hits / 400 <= 0.88
