"""The prior a model answers to, measured on labelled rows of any class mix."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from longtail.errors import DataError
from longtail.posthoc import audit_prior, measured_prior
from longtail.posthoc.measured import stationary

PRIOR = np.array([0.7, 0.2, 0.1])
MEANS = np.array([[0.0, 0], [1.5, 0.3], [0.3, 1.5]])


def rows(counts, seed, prior=PRIOR):
    """Exact posteriors under ``prior`` for rows of three Gaussians."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(3), counts)
    x = MEANS[y] + rng.normal(size=(len(y), 2))
    logits = -((x[:, None] - MEANS) ** 2).sum(-1) / 2 + np.log(prior)
    return torch.from_numpy(logits), torch.from_numpy(y)


def by_eigenvector(p, y):
    """The same by linear algebra, in NumPy."""
    a = np.stack([p[y == c].mean(0) for c in range(p.shape[1])])
    values, vectors = np.linalg.eig(a.T)
    v = np.real(vectors[:, np.argmin(abs(values - 1))])
    return v / v.sum()


def test_worked_stationary_distribution():
    a = torch.tensor([[0.80, 0.15, 0.05], [0.30, 0.60, 0.10], [0.25, 0.25, 0.50]])
    assert stationary(a).tolist() == pytest.approx([0.588235, 0.294118, 0.117647], abs=1e-6)


def test_the_prior_of_the_posterior_whatever_the_mix_of_rows():
    for counts in ((20_000, 20_000, 20_000), (4_000, 16_000, 40_000)):
        z, y = rows(counts, 0)
        found = measured_prior(z, y)
        assert found.tolist() == pytest.approx(PRIOR.tolist(), abs=0.01)
        naive = z.softmax(1).mean(0).numpy()
        assert abs(naive - PRIOR).sum() > 0.1
        want = by_eigenvector(z.softmax(1).numpy(), y.numpy())
        assert found.numpy() == pytest.approx(want, abs=1e-9)
        assert torch.equal(found, measured_prior(z.softmax(1), y))


def test_the_error_is_the_spread_over_other_rows():
    declared = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    drawn = [audit_prior(*rows((400, 100, 60), seed), declared) for seed in range(200)]
    spread = np.std([d.tv for d in drawn])
    assert np.mean([d.error for d in drawn]) == pytest.approx(spread, rel=0.15)
    assert all(d.differs for d in drawn[:20])
    right = [
        audit_prior(*rows((400, 100, 60), seed), torch.from_numpy(PRIOR)) for seed in range(50)
    ]
    assert not any(d.differs for d in right)
    assert drawn[0].tv == pytest.approx(
        0.5 * abs(drawn[0].prior.numpy() - declared.numpy()).sum(), abs=1e-12
    )


def test_without_a_declared_prior_it_is_measured_alone():
    found = audit_prior(*rows((50, 50, 50), 1), None)
    assert found.tv is None
    assert not found.differs
    assert set(found.to_data()) == {"prior", "rows", "tv", "error", "differs"}


def test_classes_renamed():
    z, y = rows((300, 200, 100), 3)
    order = torch.tensor([2, 0, 1])
    one, other = measured_prior(z, y), measured_prior(z[:, order], torch.argsort(order)[y])
    assert other.tolist() == pytest.approx(one[order].tolist(), abs=1e-9)


def test_what_cannot_be_measured():
    z, y = rows((50, 50, 4), 2)
    with pytest.raises(DataError, match="1 of 3 classes have fewer than 5 labelled rows: cat"):
        measured_prior(z, y, names=("ant", "bee", "cat"))
    with pytest.raises(DataError, match="too sure here"):
        measured_prior(1e4 * torch.eye(3).repeat(5, 1), torch.arange(3).repeat(5))
    blocks = torch.eye(3).repeat_interleave(50, 0)
    blocks[:50] = torch.tensor([0.9, 0.1, 0.0])
    blocks[50:100] = torch.tensor([0.1, 0.9, 0.0])
    blocks[100:] = torch.tensor([1e-9, 0.0, 1 - 1e-9])
    with pytest.raises(DataError, match="no prior can be measured"):
        measured_prior(blocks, torch.arange(3).repeat_interleave(50))
    with pytest.raises(DataError, match="cannot be used"):
        measured_prior(z, y[:3])
