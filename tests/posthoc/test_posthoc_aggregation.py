"""Test-time aggregation of experts, its stop rule and its guard."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from longtail.errors import ConfigError, DataError
from longtail.posthoc import aggregate, combine
from longtail.posthoc.aggregation import _guard, _paired, _resampled, stability
from longtail.posthoc.temperature import balanced_temperature

V1 = torch.tensor([[[2.0, 0, 0]], [[1, 1, 0]], [[0, 0, 2]]], dtype=torch.float64)
V2 = torch.tensor([[[1.5, 0.5, 0]], [[1, 1, 0]], [[0, 1.5, 0.5]]], dtype=torch.float64)


def _objective(w, v1, v2):
    p = []
    for v in (v1.numpy(), v2.numpy()):
        z = np.einsum("e,enc->nc", w, v)
        e = np.exp(z - z.max(1, keepdims=True))
        p.append(e / e.sum(1, keepdims=True))
    norm = [np.sqrt((q**2).sum(1)) for q in p]
    return ((p[0] * p[1]).sum(1) / (norm[0] * norm[1])).mean()


def test_worked_objective_and_gradient():
    raw = torch.full((3,), 1 / 3, dtype=torch.float64, requires_grad=True)
    value = stability(raw, V1, V2)
    assert value.item() == pytest.approx(0.908271, abs=1e-6)
    assert value.item() == pytest.approx(_objective(np.full(3, 1 / 3), V1, V2))
    (grad,) = torch.autograd.grad(value, [raw])
    assert grad.tolist() == pytest.approx([0.0425, 0.0550, -0.0975], abs=1e-4)
    for e, want in enumerate((0.974370, 1.0, 0.481248)):
        assert _objective(np.eye(3)[e], V1, V2) == pytest.approx(want, abs=1e-6)


def test_golden_steps(golden):
    (case,) = [c for c in golden("sade") if "view1_expert_logits" in c["inputs"]]
    v1, v2 = (
        torch.tensor(case["inputs"][f"view{i}_expert_logits"], dtype=torch.float64) for i in (1, 2)
    )
    raw = torch.full((3,), 1 / 3, dtype=torch.float64, requires_grad=True)
    value = stability(raw, v1, v2)
    assert value.item() == pytest.approx(case["outputs"]["objective"], abs=1e-12)
    (grad,) = torch.autograd.grad(value, [raw])
    assert grad.tolist() == pytest.approx(case["outputs"]["grad_of_objective"], abs=1e-12)
    for epochs, want in enumerate(case["outputs"]["weights_after_step"], 1):
        found = aggregate(v1, v2, seed=0, epochs=epochs)
        assert found.weights.tolist() == pytest.approx(want, abs=1e-9)
        assert found.stopped == f"after {epochs} epochs"


def test_without_validation_only_the_first_rule_holds_and_it_is_said():
    found = aggregate(V1, V2, seed=0)
    assert not found.discarded
    assert found.prior is None
    assert "not checked" in found.notes[0]
    assert float(found.weights.sum()) == pytest.approx(1)


def _experts(n, c=4, seed=0, noise=(0.1, 0.1, 3.0), strength=4.0, labels=None):
    """Three experts; the noise of each differs between the two views."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, c, n) if labels is None else labels
    base = strength * np.eye(c)[y]
    views = [np.stack([base + s * rng.normal(size=(n, c)) for s in noise]) for _ in range(2)]
    return *(torch.tensor(v) for v in views), torch.tensor(y)


def test_stops_when_a_weight_falls_under_the_floor():
    v1, v2, _ = _experts(512)
    found = aggregate(v1, v2, seed=0, epochs=50, lr=5.0)
    assert "under 0.05 in epoch" in found.stopped
    assert int(found.stopped.split("epoch ")[1].split()[0]) < 50
    assert round(float(found.learned.min()), 2) < 0.05
    assert found.learned.argmin() == 2


def test_seed_decides_the_order_and_nothing_global_is_touched():
    v1, v2, _ = _experts(700)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    a, b, c = (aggregate(v1, v2, seed=s).weights for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


def test_guard_keeps_good_weights():
    v1, v2, _ = _experts(600)
    val, _, y = _experts(300, seed=1)
    found = aggregate(v1, v2, seed=0, validation=(val, y), epochs=20, lr=1.0)
    assert not found.discarded
    assert torch.equal(found.weights, found.learned)
    assert "kept" in found.notes[-1]
    assert found.prior.tolist() == pytest.approx([0.25] * 4, abs=0.05)


def _stubborn(n, seed):
    """An expert that is right and shaky, and one that is wrong and never changes."""
    v1, v2, y = _experts(n, seed=seed, noise=(3.0, 0.0))
    for v in (v1, v2):
        v[1] = 3.0 * torch.eye(4)[(y + 1) % 4]
    return v1, v2, y


def test_guard_discards_stable_but_wrong_weights():
    v1, v2, _ = _stubborn(600, 0)
    val, _, y = _stubborn(400, 1)
    found = aggregate(v1, v2, seed=0, validation=(val, y), epochs=20, lr=1.0)
    assert found.learned[1] > 0.6
    assert found.discarded
    assert found.weights.tolist() == [0.5, 0.5]
    assert "discarded" in found.notes[-1]
    right = [(combine(val, w).argmax(1) == y).double() for w in (found.learned, found.weights)]
    assert float((right[0] - right[1]).mean()) < 0
    unchecked = aggregate(v1, v2, seed=0, epochs=20, lr=1.0)
    assert torch.equal(unchecked.weights, found.learned)


@pytest.mark.parametrize(("labels", "discarded"), [([3] * 300, True), ([0, 1] * 150, False)])
def test_guard_looks_at_the_test_mix_not_the_validation_mix(labels, discarded):
    """Weights that lose on class 3 alone, a tenth of the validation rows."""

    def fixed(labels):
        y = torch.tensor(labels)
        z = 6.0 * torch.eye(4, dtype=torch.float64)[y].repeat(2, 1, 1)
        z[1, y == 3] = torch.tensor([5.0, 0, 0, 0], dtype=torch.float64)
        return z, y

    val = fixed([0, 1, 2] * 30 + [3] * 10)
    test, _ = fixed(labels)
    learned = torch.tensor([0.1, 0.9], dtype=torch.float64)
    found = _guard(learned, "", (test, test), val, 0, None, None)
    assert found.discarded == discarded
    assert found.prior.argmax() in ((3,) if discarded else (0, 1))
    # the same in another frame: logits that answer to a skewed prior
    skew = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
    move = (skew * 4).log()
    same = _guard(learned, "", (test + move, test + move), (val[0] + move, val[1]), 0, skew, None)
    assert same.prior.tolist() == pytest.approx(found.prior.tolist(), abs=1e-6)


def test_temperature_of_the_uniform_frame():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4000, 3)) * 1.5
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    y = (p.cumsum(1) < rng.random((4000, 1))).sum(1)
    assert balanced_temperature(torch.tensor(2 * z), torch.tensor(y)) == pytest.approx(2.0, rel=0.1)


def test_resampled_copy_has_the_asked_mix():
    target = torch.tensor([0] * 50 + [1] * 30 + [2] * 3 + [3] * 0)
    prior = torch.tensor([0.1, 0.2, 0.6, 0.1], dtype=torch.float64)
    copies = _resampled(prior, target, 0)
    assert copies.sum() == 83
    got = torch.bincount(target, copies, minlength=4) / 83
    assert got.tolist() == pytest.approx([0.1 / 0.9, 0.2 / 0.9, 0.6 / 0.9, 0], abs=1 / 83)
    for c in range(3):
        part = copies[target == c]
        assert part.max() - part.min() <= 1
    d = torch.tensor(np.random.default_rng(0).integers(-1, 2, 83)).double()
    mean, error = _paired(d, torch.ones(83, dtype=torch.float64))
    assert mean == pytest.approx(float(d.mean()))
    assert error == pytest.approx(float(d.std(correction=0)) / np.sqrt(83))
    # a row that stands there twenty times is still one row
    assert _paired(d, copies)[1] > error


def test_missing_validation_classes_are_said():
    v1, v2, _ = _experts(200)
    val, _, y = _experts(90, seed=2, labels=np.arange(90) % 3)
    found = aggregate(v1, v2, seed=0, validation=(val, y))
    assert "1 classes have no validation rows" in found.notes[0]


def test_validation_rows_of_a_masked_class_decide_nothing():
    v1, v2, _ = _experts(400)
    val, _, y = _experts(120, seed=2)
    live = torch.tensor([1.0, 1.0, 1.0, 0.0])
    kept = y < 3
    found = aggregate(v1, v2, seed=0, validation=(val, y), effective_prior=live)
    alone = aggregate(v1, v2, seed=0, validation=(val[:, kept], y[kept]), effective_prior=live)
    assert found.prior.tolist() == pytest.approx(alone.prior.tolist())
    assert float(found.prior[3]) == 0
    assert found.notes[1:] == alone.notes
    line = f"{int((~kept).sum())} validation rows of classes without training samples are left out"
    assert found.notes[0] == line
    none = aggregate(v1, v2, seed=0, validation=(val[:, ~kept], y[~kept]), effective_prior=live)
    assert "not checked" in none.notes[-1]
    assert none.prior is None


@pytest.mark.parametrize("name", ["epochs", "batch_size", "lr", "momentum", "weight_decay"])
@pytest.mark.parametrize("value", ["many", None, float("nan")], ids=str)
def test_settings_that_are_no_numbers(name, value):
    with pytest.raises(ConfigError, match="adaptation cannot run"):
        aggregate(V1, V2, seed=0, **{name: value})


def test_refusals():
    with pytest.raises(DataError, match="same rows twice"):
        aggregate(V1, V2[:, :, :2], seed=0)
    with pytest.raises(ConfigError, match="nothing to weigh"):
        aggregate(V1[:1], V2[:1], seed=0)
    with pytest.raises(DataError, match="1 rows are not finite"):
        aggregate(V1, V2 * torch.nan, seed=0)
    with pytest.raises(ConfigError, match="epochs=0"):
        aggregate(V1, V2, seed=0, epochs=0)
    with pytest.raises(DataError, match="do not fit"):
        aggregate(V1, V2, seed=0, validation=(V1, torch.tensor([0, 1])))
