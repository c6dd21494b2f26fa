"""The one-pass accumulator against plain NumPy over all rows."""

from __future__ import annotations

import pickle
import time

import numpy as np
import pytest
import torch

from longtail.errors import ConfigError, DataError
from longtail.metrics import Accumulator, confused_pairs, ece, reliability
from longtail.registry import create, records
from longtail.types import ClassStats

COUNTS = [500, 150, 101, 100, 60, 20, 19, 5, 2]


def _rows(n=400, c=9, seed=0, absent=()):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, c, n)
    y[np.isin(y, absent)] = 0
    z = rng.normal(size=(n, c)) + 2.0 * np.eye(c)[y] * rng.random((n, 1))
    return torch.tensor(z), torch.tensor(y)


def _softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def _ece(conf, ok, bins=15):
    total = 0.0
    for b in range(bins):
        rows = (conf > b / bins) & (conf <= (b + 1) / bins)
        if rows.any():
            total += rows.sum() * abs(ok[rows].mean() - conf[rows].mean())
    return total / len(conf)


def _filled(z, y, batch=64, **options):
    metrics = Accumulator(z.shape[1], **options)
    for a, b in zip(z.split(batch), y.split(batch), strict=True):
        metrics.update(a, b)
    return metrics


def _plain(value):
    """Nested numbers rounded, so that sums in another order compare equal."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return round(value, 10) + 0.0 if isinstance(value, float) else value


def test_against_numpy():
    z, y = _rows(absent=(4,))
    found = _filled(z, y).compute(ClassStats(COUNTS))
    p, t = _softmax(z.numpy()), y.numpy()
    hat, conf = p.argmax(1), p.max(1)
    ok = hat == t
    recall = {c: ok[t == c].mean() for c in range(9) if c != 4}
    groups = {"many": [0, 1, 2], "medium": [3, 5], "few": [6, 7, 8]}
    assert found["per_class"][4] is None
    for c, r in recall.items():
        assert found["per_class"][c] == pytest.approx(r)
    assert found["n"] == 400
    assert found["accuracy"] == pytest.approx(ok.mean())
    assert found["balanced_accuracy"] == pytest.approx(np.mean(list(recall.values())))
    for name, ids in groups.items():
        assert found[name] == pytest.approx(np.mean([recall[c] for c in ids]))
        rows = np.isin(t, [*ids, 4] if name == "medium" else ids)
        assert found["ece_groups"][name] == pytest.approx(_ece(conf[rows], ok[rows]))
        rows = np.isin(hat, [*ids, 4] if name == "medium" else ids)
        assert found["ece_groups_predicted"][name] == pytest.approx(_ece(conf[rows], ok[rows]))
    assert found["ece"] == pytest.approx(_ece(conf, ok))
    assert found["ece_signed"] == pytest.approx(conf.mean() - ok.mean())
    nll = -np.log(p[np.arange(400), t])
    brier = ((p - np.eye(9)[t]) ** 2).sum(1)
    assert found["nll"] == pytest.approx(nll.mean())
    assert found["brier"] == pytest.approx(brier.mean())
    by_class = [[v[t == c].mean() for c in recall] for v in (nll, brier)]
    assert found["nll_balanced"] == pytest.approx(np.mean(by_class[0]))
    assert found["brier_balanced"] == pytest.approx(np.mean(by_class[1]))
    assert found["worst"][0]["recall"] == min(recall.values())
    assert found["test_counts"] == np.bincount(t, minlength=9).tolist()


def test_fixture_f2():
    z = [[4, 1, 0], [3, 2, 0], [1, 3, 0], [3, 1, 1], [2, 3, 1], [3, 2, 2], [1, 2, 1.5], [3, 0, 2],
         [2.5, 1, 2], [0, 1, 3]]  # fmt: skip
    metrics = Accumulator(3)
    metrics.update(
        torch.tensor(z, dtype=torch.float64), torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    )
    found = metrics.compute(ClassStats([100, 10, 1]))
    assert found["accuracy"] == pytest.approx(0.6)
    assert found["balanced_accuracy"] == pytest.approx(0.583333, abs=1e-6)
    assert found["per_class"] == pytest.approx([0.75, 0.666667, 0.333333], abs=1e-6)
    assert found["nll"] == pytest.approx(0.808660, abs=1e-6)
    assert found["brier"] == pytest.approx(0.512578, abs=1e-6)
    assert found["ece"] is None  # ten rows say nothing about calibration


def test_golden_shot_accuracy(golden):
    for case in golden("shot_accuracy"):
        y = torch.tensor(case["inputs"]["labels"])
        z = 5.0 * torch.eye(4)[torch.tensor(case["inputs"]["preds"])]
        metrics = Accumulator(4)
        metrics.update(z, y)
        found = metrics.compute(ClassStats(case["class_counts"], benchmark=True))
        want = case["outputs"]
        for name in ("many", "medium", "few", "per_class"):
            assert found[name] == pytest.approx(want[name], abs=1e-12)
        assert found["accuracy"] == pytest.approx(want["overall_micro"], abs=1e-12)


def test_golden_ece(golden):
    for case in golden("ece"):
        given, want = case["inputs"], case["outputs"]
        conf = np.array(given["confidences"])
        ok = np.array(given["labels"]) == np.array(given["preds"])
        assert ece(conf, ok) == pytest.approx(want["expected_calibration_error"], abs=1e-12)
        sums = reliability(conf, ok)
        assert sums["count"].tolist() == want["counts"]
        assert sums["edges"] == pytest.approx(want["bins"])
        p = np.full((len(conf), 5), 0.0)
        p += (1 - conf[:, None]) / 4
        p[np.arange(len(conf)), given["preds"]] = conf
        keep = p.argmax(1) == given["preds"]
        assert keep.all()
        metrics = Accumulator(5, input="proba")
        metrics.update(torch.tensor(p), torch.tensor(given["labels"]))
        found = metrics.compute(ClassStats([50, 40, 30, 20, 10]))
        assert found["ece"] == pytest.approx(want["expected_calibration_error"], abs=1e-12)


def test_empty_group_and_empty_metrics_are_none():
    z, y = _rows(c=3)
    found = _filled(z, y).compute(ClassStats([500, 300, 200], benchmark=True))
    assert found["few"] is None
    assert found["ece_groups"]["few"] is None
    nothing = Accumulator(3).compute(ClassStats([500, 30, 2]))
    assert nothing["accuracy"] is nothing["balanced_accuracy"] is nothing["nll"] is None
    assert nothing["per_class"] == [None, None, None]


def test_never_predicted_and_worst():
    metrics = Accumulator(4)
    metrics.update(torch.eye(4)[[0, 0, 1, 0]], torch.tensor([0, 0, 1, 2]))
    found = metrics.compute(ClassStats([9, 5, 3, 1], ["a", "b", "c", "d"]))
    assert found["never_predicted"] == ["c"]  # d has no test rows
    assert found["worst"][0] == {"class": "c", "recall": 0.0, "n_train": 3, "n_test": 1}


def test_merge_and_rank_sums_equal_one_pass():
    z, y = _rows()
    whole, left, right = _filled(z, y), _filled(z[:150], y[:150]), _filled(z[150:], y[150:])
    stats = ClassStats(COUNTS)
    assert _plain(left.merge(right).compute(stats)) == _plain(whole.compute(stats))
    with pytest.raises(ConfigError):
        left.merge(Accumulator(9, bins=10))


def test_renaming_the_classes_changes_nothing():
    z, y = _rows()
    order = torch.tensor(np.random.default_rng(1).permutation(9))  # new id -> old id
    new_id = torch.argsort(order)
    names = [f"class {i}" for i in range(9)]
    a = _filled(z, y).compute(ClassStats(COUNTS, names))
    b = _filled(z[:, order], new_id[y]).compute(
        ClassStats(torch.tensor(COUNTS)[order], [names[i] for i in order])
    )
    for key in ("per_class", "test_counts"):
        b[key] = [b[key][i] for i in new_id]
    for found in (a, b):
        found["never_predicted"].sort()
    assert _plain(a) == _plain(b)


def test_ignored_rows_and_bad_rows():
    z, y = _rows()
    mixed = torch.where(torch.arange(400) % 4 == 0, -100, y)
    z_bad = z.clone()
    z_bad[::4] = float("nan")  # rows that do not count may hold anything
    keep = mixed != -100
    stats = ClassStats(COUNTS)
    want = _filled(z[keep], y[keep]).compute(stats)
    assert _plain(_filled(z_bad, mixed).compute(stats)) == _plain(want)
    with pytest.raises(DataError, match="label outside"):
        _filled(z, y - 1).compute(stats)
    with pytest.raises(DataError, match="100 rows are not numbers"):
        _filled(z_bad, y).compute(stats)
    with pytest.raises(DataError, match="do not fit"):
        Accumulator(4).update(z, y)
    with pytest.raises(DataError, match="classes"):
        _filled(z, y).compute(ClassStats([3, 2, 1]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_and_masked_classes(dtype):
    z = torch.tensor([[60000.0, 0, -60000], [0, 10, -torch.inf]]).to(dtype)
    metrics = Accumulator(3)
    metrics.update(z, torch.tensor([0, 1]))
    found = metrics.compute(ClassStats([5, 3, 1]))
    assert found["accuracy"] == 1.0
    assert found["nll"] == pytest.approx(np.log1p(np.exp(-10)) / 2, abs=1e-4)
    metrics.update(z, torch.tensor([0, 2]))  # a masked class: infinite, so not reported
    assert metrics.compute(ClassStats([5, 3, 1]))["nll"] is None


def test_batch_of_one_global_state_and_pickle():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    metrics = Accumulator(3)
    metrics.update(torch.eye(3)[:1], torch.tensor([0]))
    metrics.compute(ClassStats([3, 2, 1]))
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()
    again = pickle.loads(pickle.dumps(metrics))
    assert again.compute(ClassStats([3, 2, 1]))["accuracy"] == 1.0


def test_many_classes_in_small_memory():
    c = 8142
    stats = ClassStats(torch.arange(c) % 300 + 1)
    g = torch.Generator().manual_seed(0)
    y = torch.randint(0, c, (512,), generator=g)
    z = torch.randn(512, c, generator=g)
    z[torch.arange(0, 512, 2), y[::2]] += 20
    metrics = Accumulator(c)
    assert sum(s.nbytes for s in metrics.state) < 70 * c * 15
    start = time.process_time()
    metrics.update(z, y)
    found = metrics.compute(stats)
    assert time.process_time() - start < 5
    assert found["accuracy"] == pytest.approx(0.5, abs=0.02)


def test_confused_pairs():
    y = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    hat = np.array([1, 1, 0, 0, 1, 1, 1, 0])
    found = confused_pairs(y, hat, 2, names=["x", "y", "z"])
    assert found == [
        {"target": "x", "prediction": "y", "count": 2, "share": 2 / 3},
        {"target": "z", "prediction": "y", "count": 2, "share": 2 / 3},
    ]
    assert confused_pairs(y, y) == []
    rng = np.random.default_rng(0)
    y, hat = rng.integers(0, 6, 500), rng.integers(0, 6, 500)
    table = np.zeros((6, 6), int)
    np.add.at(table, (y, hat), 1)
    np.fill_diagonal(table, 0)
    found = confused_pairs(y, hat, 30)
    assert [f["count"] for f in found] == sorted(table[table > 0], reverse=True)
    assert all(table[int(f["target"]), int(f["prediction"])] == f["count"] for f in found)


def test_records_build_and_count():
    z, y = _rows()
    found = {}
    for record in records("metrics"):
        metric = create("metric", record.name, class_counts=COUNTS)
        metric.update(z, y)
        found[record.name] = metric.compute()
    whole = _filled(z, y).compute(ClassStats(COUNTS))
    assert found.pop("worst_recall") == min(whole["per_class"])
    assert found == {k: whole[k] for k in found}
    assert len(found) == 8
    with pytest.raises(ValueError, match="needs the class counts"):
        create("metric", "ece").compute()
