"""Post-hoc logit adjustment and the tau-normalised head."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
import torch

from longtail.errors import ConfigError
from longtail.posthoc import FitData, LogitAdjust, TauNorm
from longtail.posthoc.choice import best_on_plateau, shrunk_balanced_accuracy, tau_grid
from longtail.registry import create, records
from longtail.types import ClassStats, Outputs

N = [100, 10, 1]


def _outputs(z, features=None):
    z = torch.as_tensor(z)
    return Outputs(z, torch.zeros(len(z), 2) if features is None else features)


def _gaussians(rows, counts, seed, spread=1.2):
    """Logits of exact posteriors under the prior of ``counts``, on rows of each class."""
    rng = np.random.default_rng(seed)
    c = len(counts)
    means = rng.normal(size=(c, 4)) * spread
    y = np.repeat(np.arange(c), rows)
    x = means[y] + rng.normal(size=(len(y), 4))
    z = -((x[:, None] - means) ** 2).sum(-1) / 2 + np.log(np.asarray(counts) / sum(counts))
    return torch.tensor(z), torch.tensor(y)


@pytest.mark.parametrize(
    ("tau", "scores", "best"),
    [(0.0, (3, 2, 0), 0), (0.5, (3.052180, 3.203473, 2.354765), 1),
     (1.0, (3.104360, 4.406945, 4.709530), 2)],
)  # fmt: skip
def test_worked_scores(tau, scores, best):
    part = LogitAdjust(tau, class_counts=N)
    found = part.transform(_outputs([[3.0, 2.0, 0.0]]))[0]
    assert found.tolist() == pytest.approx(scores, abs=1e-6)
    assert found.argmax() == best


def test_golden_posthoc(golden):
    cases = [c for c in golden("logit_adjustment") if c["params"]["kind"] == "posthoc"]
    assert cases
    for case in cases:
        part = LogitAdjust(case["params"]["tau"], class_counts=case["class_counts"])
        z = torch.tensor(case["inputs"]["logits"], dtype=torch.float64)
        found = part.transform(_outputs(z))
        assert torch.allclose(
            found, torch.tensor(case["outputs"]["logits"], dtype=torch.float64), atol=1e-6
        )
        assert found.argmax(1).tolist() == case["outputs"]["pred"]


def test_golden_tau_norm(golden):
    for case in golden("tau_norm"):
        weight = torch.tensor(case["inputs"]["weight"], dtype=torch.float64)
        features = torch.tensor(case["inputs"]["features"], dtype=torch.float64)
        stats = ClassStats([9, 5, 3, 1])
        part = TauNorm(case["params"]["tau"]).fit(FitData(None, None, stats, head_weight=weight))
        found = part.transform(_outputs(torch.zeros(len(features), 4), features))
        want = torch.tensor(case["outputs"]["logits"], dtype=torch.float64)
        assert torch.allclose(found, want, atol=1e-5)


@pytest.mark.parametrize(
    ("tau", "want"),
    [(0, (11, 1, 1)), (0.5, (4.919350, 1, 1.414214)), (0.7, (3.565445, 1, 1.624505)),
     (1, (2.2, 1, 2))],
)  # fmt: skip
def test_worked_tau_norm(tau, want):
    weight = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 0.5]])
    part = TauNorm(tau).fit(FitData(None, None, ClassStats(N), head_weight=weight))
    found = part.transform(_outputs(torch.zeros(1, 3), torch.tensor([[1.0, 2.0]])))
    assert found[0].tolist() == pytest.approx(want, abs=1e-5)
    assert part.effective_prior(torch.ones(3) / 3) is None


def test_tau_norm_refusals_and_choice():
    stats = ClassStats([90, 30, 10, 3], "abcd")
    with pytest.raises(ConfigError, match="one linear head"):
        TauNorm().fit(FitData(None, None, stats))
    weight = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    weight[2] = 0
    with pytest.raises(ConfigError, match="all zero: c"):
        TauNorm().fit(FitData(None, None, stats, head_weight=weight))
    weight = torch.eye(4) * torch.tensor([8.0, 4.0, 2.0, 1.0])[:, None]
    g = torch.Generator().manual_seed(1)
    y = torch.arange(4).repeat(50)
    features = torch.eye(4)[y] + 0.8 * torch.randn(200, 4, generator=g)
    out = _outputs(features @ weight.T, features)
    part = TauNorm(None).fit(FitData(out, y, stats, head_weight=weight))
    assert 0.6 <= part.describe()["tau"] <= 1.4
    assert part.describe()["chosen_on_validation"]
    with pytest.raises(ConfigError, match="4 features, not 2"):
        part.transform(_outputs(torch.zeros(1, 4)))


def test_tau_is_chosen_on_validation():
    counts = [600, 200, 60, 20, 6]
    z, y = _gaussians(60, counts, 0)
    stats = ClassStats(counts)
    part = LogitAdjust().fit(FitData(_outputs(z), y, stats))
    assert 0.7 <= part.describe()["tau"] <= 1.4
    again = LogitAdjust().fit(FitData(_outputs(z), y, stats)).fit(FitData(_outputs(z), y, stats))
    assert again.describe() == part.describe()
    # by hand: shrunk recalls for each tau
    scores = []
    for tau in np.arange(21) / 10:
        hat = (z.numpy() - tau * np.log(np.array(counts) / sum(counts))).argmax(1)
        r = np.array([(hat[y.numpy() == c] == c).mean() for c in range(5)])
        mean = {"many": r[:2].mean(), "medium": r[2:4].mean(), "few": r[4:].mean()}
        group = ["many", "many", "medium", "medium", "few"]
        shrunk = [(60 * r[c] + 5 * mean[group[c]]) / 65 for c in range(5)]
        scores.append(np.mean(shrunk))
    want = best_on_plateau(tau_grid(), torch.tensor(scores))
    assert part.describe()["tau"] == pytest.approx(want)


def test_no_validation_takes_one_and_says_so():
    part = LogitAdjust().fit(FitData(None, None, ClassStats(N)))
    said = part.describe()
    assert (said["tau"], said["chosen_on_validation"]) == (1.0, False)
    assert said["notes"] == ["no validation data: tau is 1.0, not chosen"]
    json.dumps(said)


def test_classes_without_validation_rows_borrow_their_group():
    stats = ClassStats([500, 300, 50, 40, 5, 3])
    correct = torch.tensor([8, 6, 2, 0, 1, 0])[:, None]
    total = torch.tensor([10, 10, 4, 0, 4, 0])
    group = {0: 0.7, 1: 0.7, 2: 0.5, 3: 0.5, 4: 0.25, 5: 0.25}
    want = [(k + 5 * group[c]) / (m + 5)
            for c, (k, m) in enumerate(zip([8, 6, 2, 0, 1, 0], total.tolist(), strict=True))]  # fmt: skip
    assert want[3] == 0.5
    assert want[5] == 0.25
    found = shrunk_balanced_accuracy(correct, total, stats)
    assert found.tolist() == pytest.approx([np.mean(want)])
    z, y = _gaussians(10, [500, 300, 50, 40, 5, 3], 2)
    keep = y < 5
    part = LogitAdjust().fit(FitData(_outputs(z[keep]), y[keep], stats))
    assert "1 classes that have no validation rows" in part.notes()[0]


def test_plateau():
    grid = torch.arange(7, dtype=torch.float64) / 2
    assert best_on_plateau(grid, torch.tensor([1, 2, 2, 2, 1, 2, 2.0])) == 1.0
    assert best_on_plateau(grid, torch.tensor([2, 0, 2, 0, 0, 2, 0.0])) == 1.0
    assert best_on_plateau(grid, torch.tensor([0, 0, 0, 0, 0, 3, 3.0])) == 2.75


def test_a_corrected_model_is_refused():
    even = torch.full((3,), 1 / 3)
    with pytest.raises(ConfigError, match="already trained"):
        LogitAdjust(1.0).fit(FitData(None, None, ClassStats(N), prior=even))
    natural = torch.tensor(N) / sum(N)
    part = LogitAdjust(1.0).fit(FitData(None, None, ClassStats(N), prior=natural))
    assert part.effective_prior(natural).tolist() == pytest.approx([1 / 3] * 3)


def test_masked_class_and_uniform_counts():
    stats = ClassStats([10, 5, 0], on_empty="ignore")
    out = _outputs([[0.0, 0.0, 9.0]])
    part = LogitAdjust(0.0, class_counts=stats)
    assert part.transform(out).argmax() == 0
    assert part.effective_prior(stats.prior)[2] == 0
    z, y = torch.randn(30, 3, generator=torch.Generator().manual_seed(0)), torch.arange(30) % 2
    assert LogitAdjust().fit(FitData(_outputs(z), y, stats)).describe()["chosen_on_validation"]
    even = LogitAdjust(1.0, class_counts=[7, 7, 7])
    assert torch.equal(even.transform(_outputs(z)).argmax(1), z.argmax(1))
    assert LogitAdjust(1.0, class_counts=N).transform(_outputs(z.half())).dtype == torch.float32


def test_renaming_the_classes_changes_nothing():
    counts = [600, 200, 60, 20, 6]
    z, y = _gaussians(20, counts, 4)
    order = torch.tensor([3, 0, 4, 1, 2])
    new = torch.argsort(order)
    a = LogitAdjust().fit(FitData(_outputs(z), y, ClassStats(counts)))
    renamed = ClassStats(torch.tensor(counts)[order])
    b = LogitAdjust().fit(FitData(_outputs(z[:, order]), new[y], renamed))
    assert a.describe() == b.describe()
    assert torch.allclose(
        a.transform(_outputs(z))[:, order], b.transform(_outputs(z[:, order])), atol=1e-12
    )


def test_records_state_copies_and_global_random_state():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    stats = ClassStats([120, 40, 9, 2])
    g = torch.Generator().manual_seed(0)
    weight, features = torch.randn(4, 3, generator=g), torch.randn(6, 3, generator=g)
    out = _outputs(features @ weight.T, features)
    data = FitData(out, torch.arange(6) % 4, stats, head_weight=weight)
    assert len(records("adjusters")) >= 4
    for record in records("adjusters"):
        part = create("adjuster", record.name, **record.case).fit(data)
        want = part.transform(out)
        assert want.shape == (6, 4)
        saved = {k: v.clone() for k, v in part.state_dict().items()}
        again = create("adjuster", record.name, **record.case).restore(saved)
        for other in (again, copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
            assert torch.equal(other.transform(out), want)
        assert torch.equal(part.fit(data).transform(out), want)
        assert not part.restore({}).describe()["notes"] or record.name in ("prior_shift", "uno_ic")
        assert record.name in records("adjusters")[0].name or "=" in repr(part)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


def test_many_classes():
    c = 8142
    g = torch.Generator().manual_seed(0)
    stats = ClassStats(torch.arange(c) % 900 + 1)
    y = torch.randint(0, c, (64,), generator=g)
    part = LogitAdjust().fit(FitData(_outputs(torch.randn(64, c, generator=g)), y, stats))
    assert 0 <= part.describe()["tau"] <= 2
