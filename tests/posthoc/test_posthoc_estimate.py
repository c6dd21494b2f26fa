"""The class mix of unlabelled rows: two methods, their intervals, and what is refused."""

from __future__ import annotations

import json
from unittest import mock

import numpy as np
import pytest
import torch

from longtail.errors import ConfigError, DataError
from longtail.posthoc import bbse, estimate, estimate_target_prior
from longtail.posthoc.bbse import bbse_error, mean_by_class
from longtail.posthoc.em import estimate_prior
from longtail.posthoc.resampled import information_error
from longtail.posthoc.temperature import balanced_temperature, temperature_error

COUNTS = torch.tensor([[45.0, 5, 1], [4, 28, 3], [1, 2, 11]], dtype=torch.float64)
R = COUNTS / COUNTS.sum(0)
MU = torch.tensor([0.3, 0.4, 0.3], dtype=torch.float64)


def problem(seed, *, classes=6, rows=800, each=30, heat=1.0, mix=None):
    """Exact posteriors (times ``heat``) under a long-tailed prior, and rows of a known mix."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(classes, 5)) * 1.2
    prior = 50 ** (-np.arange(classes) / (classes - 1))
    prior /= prior.sum()
    mix = rng.dirichlet(2 * np.ones(classes)) if mix is None else np.asarray(mix)

    def logits(y):
        x = means[y] + rng.normal(size=(len(y), 5))
        likelihood = -((x[:, None] - means) ** 2).sum(-1) / 2
        return torch.tensor(heat * likelihood + np.log(prior))

    new = rng.choice(classes, rows, p=mix)
    old = np.repeat(np.arange(classes), each)
    found = logits(new), logits(old), torch.tensor(old)
    return *found, torch.tensor(prior), torch.tensor(mix)


def test_worked_bbse():
    found = bbse(R, MU)
    assert found.tolist() == pytest.approx([0.245043, 0.382342, 0.372615], abs=1e-6)
    by_joint = np.linalg.solve((COUNTS / 100).numpy(), MU.numpy()) * [0.5, 0.35, 0.15]
    assert found.tolist() == pytest.approx(by_joint.tolist(), abs=1e-6)
    bad = bbse(R, torch.tensor([0.62, 0.37, 0.01]))
    assert bad.tolist() == pytest.approx([0.615360, 0.384640, 0], abs=1e-6)
    assert bbse(R, torch.tensor([0.62, 0.37, 0.01]), rows=200).sum() == pytest.approx(1)


def test_worked_standard_errors():
    q = bbse(R, MU)
    of_mean = (MU.diag() - torch.outer(MU, MU)) / 200
    m = COUNTS.sum(0)
    columns = torch.stack(
        [(R[:, j].diag() - torch.outer(R[:, j], R[:, j])) / m[j] for j in range(3)]
    )
    none = torch.zeros(3, 3, dtype=torch.float64)
    for first, second, want in (
        (of_mean, none, (0.041191, 0.053010, 0.047223)),
        (none, columns, (0.044189, 0.074368, 0.066699)),
        (of_mean, columns, (0.060410, 0.091328, 0.081723)),
    ):
        assert bbse_error(R, q, first, second).tolist() == pytest.approx(want, abs=1e-6)


def test_confusion_from_rows():
    p = torch.tensor([[0.7, 0.3, 0], [0.5, 0.5, 0], [0.2, 0.8, 0]], dtype=torch.float64)
    found = mean_by_class(p, torch.tensor([0, 0, 1]))
    want = [[0.6, 0.2, 0], [0.4, 0.8, 0], [0, 0, 1]]
    np.testing.assert_allclose(found, want)


def test_temperature_and_its_error():
    _, z, y, prior, _ = problem(3, each=60, heat=2.0)
    u = z - prior.log()
    heat = balanced_temperature(u, y)
    assert heat == pytest.approx(2.0, rel=0.15)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(60):
        rows = np.concatenate([60 * c + rng.integers(0, 60, 60) for c in range(6)])
        drawn.append(np.log(balanced_temperature(u[rows], y[rows])))
    assert temperature_error(u, y, heat) == pytest.approx(np.std(drawn), rel=0.35)


def test_information_is_the_curvature_of_the_likelihood():
    """Against a numerical Hessian of the log posterior on the simplex."""
    z, _, _, prior, _ = problem(4, classes=3, rows=60)
    p = (z - prior.log()).softmax(1)
    alpha = 3 * prior
    q = estimate_prior(p, torch.ones(3, dtype=torch.float64), reference=prior).prior

    def height(free):
        full = np.append(free, 1 - free.sum())
        return np.log(p.numpy() @ full).sum() + (alpha.numpy() * np.log(full)).sum()

    at, step = q[:2].numpy(), 1e-4
    hessian = np.zeros((2, 2))
    for i in range(2):
        for j in range(2):
            a, b = np.eye(2)[i] * step, np.eye(2)[j] * step
            up, down = (
                height(at + a + b) + height(at - a - b),
                height(at + a - b) + height(at - a + b),
            )
            hessian[i, j] = (up - down) / (4 * step**2)
    covariance = np.linalg.inv(-hessian)
    want = np.sqrt([covariance[0, 0], covariance[1, 1], covariance.sum()])
    assert information_error(p, q, alpha).tolist() == pytest.approx(want.tolist(), rel=1e-3)


@pytest.mark.parametrize("method", ["em", "bbse"])
@pytest.mark.parametrize("heat", [1.0, 2.0])
def test_intervals_cover_the_known_mix(method, heat):
    """Rows drawn with a known prior; over-confident scores too, for they are calibrated first."""
    covered, near, far = [], [], []
    for seed in range(24):
        new, old, y, prior, mix = problem(seed, heat=heat)
        found = estimate_target_prior(
            new, old, y, effective=prior, reference=prior, method=method, resamples=120, seed=seed
        )
        low, high = found.interval.T
        covered.append(((low <= mix) & (mix <= high)).double().mean())
        near.append(0.5 * float((found.prior - mix).abs().sum()))
        far.append(0.5 * float((prior - mix).abs().sum()))
        assert (low <= high).all()
        assert found.temperature == pytest.approx(heat, rel=0.4)
    assert np.mean(covered) >= 0.9
    assert np.mean(near) < 0.3 * np.mean(far)


def test_intervals_without_resamples_agree_with_those_from_resamples():
    new, old, y, prior, _ = problem(7, rows=2000, each=60)
    for method in ("em", "bbse", "bbse_hard"):
        given = {"effective": prior, "reference": prior, "method": method}
        drawn = estimate_target_prior(new, old, y, **given)
        with mock.patch.object(estimate, "RESAMPLED_CELLS", 0):
            normal = estimate_target_prior(new, old, y, **given)
        assert torch.equal(drawn.prior, normal.prior)
        assert "normal interval" in normal.reasons[-1]
        one, other = ((e.interval[:, 1] - e.interval[:, 0]).mean() for e in (drawn, normal))
        assert float(one) == pytest.approx(float(other), rel=0.25)


def test_classes_renamed_and_the_same_seed():
    new, old, y, prior, _ = problem(8, rows=400)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    given = {"effective": prior, "reference": prior, "names": "abcdef", "resamples": 100}
    one = estimate_target_prior(new, old, y, **given)
    other = estimate_target_prior(
        new[:, order], old[:, order], torch.argsort(order)[y],
        effective=prior[order], reference=prior[order], names=[*"dafbec"], resamples=100,
    )  # fmt: skip
    torch.testing.assert_close(other.prior, one.prior[order], atol=1e-6, rtol=0)
    again = estimate_target_prior(new, old, y, **given)
    assert torch.equal(again.interval, one.interval)
    assert json.loads(json.dumps(one.to_data()))["verdict"] == one.verdict
    assert any("%  [" in line for line in one.lines())
    assert len(one.lines(most=2)) < len(one.lines())


def test_what_is_refused_and_what_asks_for_care():
    new, old, y, prior, _ = problem(9, rows=400)
    given = {"effective": prior, "reference": prior, "resamples": 100}
    good = estimate_target_prior(new, old, y, **given)
    assert good.verdict in ("use", "use_with_care")
    assert torch.equal(good.usable(), good.prior)
    few = estimate_target_prior(new[:40], old, y, **given)
    assert few.verdict == "refuse"
    with pytest.raises(DataError, match="refused: 40 unlabelled rows for 6 classes"):
        few.usable()
    assert torch.equal(few.usable(force=True), few.prior)
    some = estimate_target_prior(new[:100], old, y, **given)
    assert "20 a class are wanted" in some.reasons[0]
    seen = y > 0
    missing = estimate_target_prior(new, old[seen], y[seen], **given)
    assert "1 classes have no labelled row" in missing.reasons[0]
    assert missing.verdict == "refuse"
    thin = (y > 0) | (torch.arange(len(y)) < 4)
    care = estimate_target_prior(new, old[thin], y[thin], **given)
    assert any("fewer than 10 labelled rows" in r for r in care.reasons)
    assert care.verdict == "use_with_care"
    blind = estimate_target_prior(new * 0.01, old * 0.01, y, **{**given, "method": "bbse"})
    assert blind.verdict == "refuse"
    silent = old.clone()
    silent[:, 5] -= 50
    hard = estimate_target_prior(new, silent, y, **{**given, "method": "bbse_hard"})
    assert "never predicted" in hard.reasons[0]
    sure = estimate_target_prior(new, 1e3 * torch.eye(6).double()[y], y, **given)
    assert any("temperature 1 is taken" in r for r in sure.reasons)


def test_inputs_that_do_not_fit():
    new, old, y, prior, _ = problem(10, rows=60)
    with pytest.raises(ConfigError, match="did you mean 'bbse'"):
        estimate_target_prior(new, old, y, effective=prior, method="bbs")
    with pytest.raises(ConfigError, match="20 resamples"):
        estimate_target_prior(new, old, y, effective=prior, resamples=20)
    with pytest.raises(DataError, match="there are no labelled rows"):
        estimate_target_prior(new, old[:0], y[:0], effective=prior)
    with pytest.raises(DataError, match="do not fit"):
        estimate_target_prior(new, old, y[:3], effective=prior)
    broken = new.clone()
    broken[2, 1] = torch.nan
    with pytest.raises(DataError, match="of 1 unlabelled rows are not finite"):
        estimate_target_prior(broken, old, y, effective=prior)


def test_a_masked_class_has_no_share():
    new, old, y, prior, _ = problem(11, rows=400, mix=[0.3, 0.3, 0.2, 0.1, 0.1, 0.0])
    effective = torch.where(torch.arange(6) == 5, 0.0, prior)
    seen = y < 5
    found = estimate_target_prior(new, old[seen], y[seen], effective=effective, reference=prior)
    assert found.prior[5] < 1e-6
    assert found.prior.sum() == pytest.approx(1)
    assert found.verdict in ("use", "use_with_care")
