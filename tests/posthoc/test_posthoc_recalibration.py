"""Posterior re-calibration, post-compensated softmax, and the choice among all strengths at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from longtail.errors import ConfigError, DataError
from longtail.losses import BalancedSoftmax, LogitAdjusted
from longtail.posthoc import FitData, LogitAdjust, PriorShift, Recalibration
from longtail.posthoc.choice import (
    scores_over,
    shrunk_balanced_accuracy,
    tau_grid,
    winning_power,
    winning_range,
)
from longtail.posthoc.recalibration import beta_grid, tilted_losses
from longtail.types import ClassStats, Outputs

N = [100, 10, 1]
F1 = torch.tensor([[2.0, 1.0, 0.5]], dtype=torch.float64)


def outputs(z):
    return Outputs(torch.as_tensor(z), torch.zeros(len(z), 2))


def posteriors(rows, counts, seed, heat=1.0):
    """Logits of exact posteriors under the prior of ``counts``, times ``heat``; labels."""
    rng = np.random.default_rng(seed)
    c = len(counts)
    means = rng.normal(size=(c, 4)) * 1.2
    y = np.repeat(np.arange(c), rows)
    x = means[y] + rng.normal(size=(len(y), 4))
    z = -((x[:, None] - means) ** 2).sum(-1) / 2 + np.log(np.asarray(counts) / sum(counts))
    return torch.tensor(heat * z), torch.tensor(y)


@pytest.mark.parametrize(
    ("beta", "want"),
    [(0.0, (0.628532, 0.231224, 0.140244)), (0.5, (0.227550, 0.264717, 0.507733)),
     (1.0, (0.037048, 0.136293, 0.826659))],
)  # fmt: skip
def test_worked_posteriors(beta, want):
    found = Recalibration(beta, class_counts=N).transform(outputs(F1)).softmax(1)[0]
    assert found.tolist() == pytest.approx(want, abs=1e-6)
    q = F1.softmax(1)[0].numpy()
    moved = q / (np.array(N) / 111)
    mixed = q ** (1 - beta) * (moved / moved.sum()) ** beta
    assert found.tolist() == pytest.approx((mixed / mixed.sum()).tolist())


def test_recorded_posteriors(golden):
    cases = golden("uno_ic")
    assert cases
    for case in cases:
        part = Recalibration(case["params"]["beta"], class_counts=case["class_counts"])
        z = torch.tensor(case["inputs"]["logits"], dtype=torch.float64)
        want = torch.tensor(case["outputs"]["prob"], dtype=torch.float64)
        torch.testing.assert_close(
            part.transform(outputs(z)).softmax(1), want, rtol=1e-6, atol=1e-8
        )


def test_recorded_post_compensation(golden):
    """The published softmax branch leaves the target prior out: there only the uniform one fits."""
    cases = golden("pc_softmax")
    assert cases
    for case in cases:
        target = np.array(case["params"]["target_prior"])
        branch = case["params"]["branch"]
        z = torch.tensor(case["inputs"]["logits"], dtype=torch.float64)
        want = torch.tensor(case["outputs"]["logits"], dtype=torch.float64)
        part = PriorShift(target.tolist(), class_counts=case["class_counts"])
        found = part.transform(outputs(z))
        if branch.startswith("Softmax + DotProduct"):
            found = found - torch.tensor(np.log(target))
        elif case["params"].get("official_code", True):
            continue  # adds the target prior to logits that answer to another one
        torch.testing.assert_close(found, want, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 1.7])
def test_identities_of_the_street(strength):
    z, _ = posteriors(5, [600, 200, 60], 1)
    counts = [600, 200, 60]
    la = LogitAdjust(strength, class_counts=counts).transform(outputs(z))
    uno = Recalibration(strength, class_counts=counts).transform(outputs(z))
    torch.testing.assert_close(la.softmax(1), uno.softmax(1))
    if strength == 1.0:
        pc = PriorShift("uniform", class_counts=counts).transform(outputs(z))
        torch.testing.assert_close(la.softmax(1), pc.softmax(1))
    other = Recalibration(strength, [1, 2, 5], class_counts=counts).transform(outputs(z))
    by_hand = (
        z - strength * (torch.tensor(counts).double() / 860 / torch.tensor([1, 2, 5]) * 8).log()
    )
    torch.testing.assert_close(other.softmax(1), by_hand.softmax(1))


def test_training_loss_and_post_hoc_form_share_one_prior():
    """What la adds in training is what la_posthoc takes off: the log prior of one ClassStats."""
    for stats in (ClassStats([300, 4, 57]), ClassStats([300, 0, 57], on_empty="smooth")):
        for tau in (0.5, 1.0, 2.0):
            added = LogitAdjusted(tau, class_counts=stats).offset()
            zero = torch.zeros(1, 3, dtype=torch.float64)
            taken = LogitAdjust(tau, class_counts=stats).transform(outputs(zero))[0]
            assert torch.equal(added, -taken)
            assert torch.equal(added, tau * stats.log_prior)
        assert torch.equal(BalancedSoftmax(class_counts=stats).offset(), stats.log_prior)
        shifted = PriorShift("uniform", class_counts=stats).offset
        torch.testing.assert_close(shifted, -stats.log_prior - np.log(3))


def test_all_betas_by_one_product():
    rng = np.random.default_rng(2)
    z, y = rng.normal(size=(17, 5)) * 4, rng.integers(0, 5, 17)
    offset, betas = rng.normal(size=5) * 3, np.array([0.0, 0.4, 1.0, 2.0])
    found = tilted_losses(*(torch.tensor(v) for v in (z, offset, y, betas)))
    for k, beta in enumerate(betas):
        moved = z + beta * offset
        want = np.log(np.exp(moved).sum(1)) - moved[np.arange(17), y]
        np.testing.assert_allclose(found[:, k], want, rtol=1e-10)
    far = tilted_losses(
        torch.tensor([[1e4, -1e4, 0.0]]), torch.tensor([-20.0, 30.0, -torch.inf]),
        torch.tensor([1]), torch.tensor([0.0, 2.0]),
    )  # fmt: skip
    np.testing.assert_allclose(far, [[2e4, 2e4 - 100]], rtol=1e-10)


@pytest.mark.parametrize("heat", [1.0, 2.0])
def test_beta_is_that_of_the_most_likely_labels(heat):
    counts = [600, 200, 60, 20, 6]
    z, y = posteriors(40, counts, 3, heat)
    part = Recalibration().fit(FitData(outputs(z), y, ClassStats(counts)))
    prior = np.array(counts) / sum(counts)
    scores = []
    for beta in np.arange(201) / 100:
        moved = z.numpy() - beta * np.log(prior)
        nll = np.log(np.exp(moved).sum(1)) - moved[np.arange(len(y)), y.numpy()]
        scores.append(np.mean([nll[y.numpy() == c].mean() for c in range(5)]))
    assert part.describe()["beta"] == pytest.approx(np.argmin(scores) / 100)
    assert part.describe()["chosen_on_validation"]
    if heat == 1.0:
        assert 0.7 <= part.describe()["beta"] <= 1.3


def test_the_target_weighs_the_classes():
    counts, target = [600, 200, 60], [1, 1, 6]
    z, y = posteriors([30, 10, 10], counts, 5, 1.5)
    part = Recalibration(target=target).fit(FitData(outputs(z), y, ClassStats(counts)))
    offset = np.log(np.array(target) / 8) - np.log(np.array(counts) / 860)
    scores = []
    for beta in np.arange(201) / 100:
        moved = z.numpy() + beta * offset
        nll = np.log(np.exp(moved).sum(1)) - moved[np.arange(len(y)), y.numpy()]
        means = [nll[y.numpy() == c].mean() for c in range(3)]
        scores.append(np.dot(means, target))
    assert part.describe()["beta"] == pytest.approx(np.argmin(scores) / 100)


def test_beta_without_validation_rows_and_in_classes_without():
    stats = ClassStats(N)
    assert Recalibration().fit(FitData(None, None, stats)).describe()["beta"] == 1.0
    z, y = posteriors(10, N, 4)
    part = Recalibration().fit(FitData(outputs(z[y < 2]), y[y < 2], stats))
    assert "without the 1 classes" in part.notes()[0]
    masked = ClassStats([100, 10, 0], on_empty="ignore")
    found = Recalibration().fit(FitData(outputs(z[y < 2]), y[y < 2], masked))
    assert found.describe()["chosen_on_validation"]
    assert torch.isneginf(found.transform(outputs(z))[:, 2]).all()
    assert found.effective_prior(masked.prior)[2] == 0


def test_bad_values():
    for beta in (-0.1, 101, float("nan")):
        with pytest.raises(ConfigError, match=r"beta must lie in \[0, 100\]"):
            Recalibration(beta)
    for tau in (-0.1, 101, float("nan")):
        with pytest.raises(ConfigError, match=r"tau must lie in \[0, 100\]"):
            LogitAdjust(tau)
    with pytest.raises(ConfigError, match="finite"):
        LogitAdjusted(float("inf"))
    even = torch.full((3,), 1 / 3)
    with pytest.raises(ConfigError, match="uno_ic corrects the training prior"):
        Recalibration(1.0).fit(FitData(None, None, ClassStats(N), prior=even))
    with pytest.raises(DataError, match="weight 0"):
        Recalibration(1.0, [1, 1, 0], class_counts=N)
    hot = torch.tensor([[1e4, -1e4, 0.0], [6e4, 6e4, -6e4]]).half()
    for part in (Recalibration(2.0, class_counts=N), LogitAdjust(2.0, class_counts=N),
                 PriorShift(class_counts=N)):  # fmt: skip
        z = part.transform(outputs(hot))
        assert z.dtype == torch.float32
        assert torch.isfinite(z).all()
    data = FitData(outputs(hot), torch.tensor([1, 0]), ClassStats(N))
    for part in (Recalibration(), LogitAdjust()):
        assert torch.isfinite(part.fit(data).transform(outputs(hot))).all()


def by_argmax(logits, target, stats):
    """Scores from an argmax for every candidate: ``logits (T, M, C)``."""
    correct = torch.zeros(stats.num_classes, len(logits), dtype=torch.float64)
    for k, z in enumerate(logits):
        hit = z.argmax(1) == target
        correct[:, k] = torch.bincount(target[hit], minlength=stats.num_classes)
    total = torch.bincount(target, minlength=stats.num_classes)
    return shrunk_balanced_accuracy(correct, total, stats)


@pytest.mark.parametrize(("rows", "classes"), [(400, 3), (300, 40)])
def test_ranges_agree_with_an_argmax_for_every_tau(rows, classes):
    g = torch.Generator().manual_seed(rows)
    stats = ClassStats(torch.randint(1, 300, (classes,), generator=g))
    z = torch.randn(rows, classes, generator=g, dtype=torch.float64) * 2
    y = torch.randint(0, classes, (rows,), generator=g)
    z[torch.arange(rows), y] += 1.5
    z[: rows // 4] -= 30  # rows whose scores are all negative
    z[3, y[3]] = 0.0
    grid, log_prior = tau_grid(), stats.log_prior
    found = scores_over(grid, lambda r: winning_range(z[r], log_prior, y[r]), y, stats)
    lines = z[None] - grid[:, None, None] * log_prior
    assert torch.equal(found, by_argmax(lines, y, stats))
    norm = torch.rand(classes, generator=g, dtype=torch.float64) * 3
    found = scores_over(grid, lambda r: winning_power(z[r], norm, y[r]), y, stats)
    curves = z[None] * (-grid[:, None, None] * norm).exp()
    assert torch.equal(found, by_argmax(curves, y, stats))


def test_ties_and_masked_scores_are_no_wins():
    even = torch.zeros(2, 3)
    y = torch.tensor([0, 2])
    low, high = winning_range(even, torch.zeros(3), y)
    assert (low >= high).all()
    masked = torch.tensor([[0.0, -torch.inf, -1.0]])
    low, high = winning_range(masked, torch.tensor([0.0, -3.0, 0.0]), y[:1])
    assert (low < 0).all()
    assert (high > 2).all()
    low, high = winning_power(torch.tensor([[0.0, 0.0, -1.0]]), torch.zeros(3), y[:1])
    assert not bool((low < high).any())
    assert len(beta_grid()) == 201
