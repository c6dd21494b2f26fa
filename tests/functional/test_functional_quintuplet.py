"""Quintuplets: the worked numbers, a loop in NumPy, and the partners of a whole set."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from longtail.functional import quintuplet_hinges, quintuplet_loss, quintuplet_table
from longtail.objectives.quintuplet import clustered


def f64(*x):
    return torch.tensor(x, dtype=torch.float64)


def test_worked():
    got = quintuplet_hinges(
        f64(0.2), f64(0.5), f64(0.6), f64(0.9), split=torch.tensor([True]), margins=(0.2, 0.2, 0.4)
    )
    assert got.item() == pytest.approx(0.2, abs=1e-12)


def test_a_class_of_one_cluster_keeps_the_hinge_between_classes():
    d = (f64(0.2), f64(9.0), f64(7.0), f64(0.5))
    got = quintuplet_hinges(*d, split=torch.tensor([False]), margins=(5.0, 5.0, 0.4))
    assert got.item() == pytest.approx(0.4 + 0.2 - 0.5, abs=1e-12)


def test_the_loss_is_its_loop():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 40, 3))
    split, g = rng.random(40) < 0.7, (0.1, 0.15, 0.9)
    unit = x / np.linalg.norm(x, axis=2, keepdims=True)
    expected = []
    for i in range(40):
        near, other, far, rival = (((unit[0, i] - unit[r, i]) ** 2).sum() for r in range(1, 5))
        if split[i]:
            terms = (g[0] + near - other, g[1] + other - far, g[2] + far - rival)
        else:
            terms = (g[2] + near - rival,)
        expected.append(sum(max(0.0, t) for t in terms))
    rows = [torch.from_numpy(v).requires_grad_() for v in x]
    mask = torch.from_numpy(split)
    got = quintuplet_loss(rows[0], rows[1:], split=mask, margins=g)
    np.testing.assert_allclose(got.detach(), expected, rtol=1e-10)
    assert torch.autograd.gradcheck(
        lambda a, *p: quintuplet_loss(a, p, split=mask, margins=g), tuple(rows)
    )


def looped_table(x, y, k, candidates):
    table = []
    for i in range(len(y)):
        d = ((x[i] - x) ** 2).sum(1)
        own = np.flatnonzero(k == k[i])
        apart = [j for j in candidates if y[j] == y[i] and k[j] != k[i]]
        mine = [j for j in candidates if y[j] == y[i]]
        rest = [j for j in candidates if y[j] != y[i]]
        row = [own[d[own].argmax()], i, i, rest[d[rest].argmin()]]
        if apart:
            row[1], row[2] = apart[d[apart].argmin()], mine[d[mine].argmax()]
        table.append((row, bool(apart)))
    return np.array([r for r, _ in table]), np.array([s for _, s in table])


@pytest.mark.parametrize("every", [1, 3])
def test_partners_are_those_of_a_loop(every):
    rng = np.random.default_rng(1)
    y = rng.permutation(np.repeat(np.arange(4), [60, 20, 5, 1]))
    x = rng.normal(size=(len(y), 4))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    k = y * 10 + rng.integers(0, 5, len(y)) * (y < 2)
    candidates = np.arange(0, len(y), every)
    got, split = quintuplet_table(*map(torch.from_numpy, (x, y, k, candidates)))
    table, has = looped_table(x, y, k, candidates)
    np.testing.assert_array_equal(split, has)
    np.testing.assert_array_equal(got, table)
    assert not has[y >= 2].any()
    assert has[y < 2].all()
    assert (y[table[:, :3]] == y[:, None]).all()
    assert (y[table[:, 3]] != y).all()


def test_clusters_are_found_and_numbered_without_gaps():
    rng = np.random.default_rng(2)
    centres = np.eye(3).repeat(20, 0)
    x = torch.from_numpy(centres + 0.01 * rng.normal(size=(60, 3)))
    found = clustered(x, 3, 7).reshape(3, 20)
    assert (found == found[:, :1]).all()
    assert sorted(found[:, 0].tolist()) == [0, 1, 2]
    assert torch.equal(clustered(x, 3, 7), clustered(x, 3, 7))
    assert clustered(x[:5], 1, 0).tolist() == [0] * 5
    same = clustered(torch.ones(6, 2, dtype=torch.float64), 3, 0)
    assert same.tolist() == [0] * 6, "rows that coincide are one cluster"
