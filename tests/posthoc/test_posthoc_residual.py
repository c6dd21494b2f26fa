"""Whether the mix alone has changed: against formulas of its own, and on rows of either kind."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tests.posthoc.test_posthoc_estimate import COUNTS, problem

from longtail.errors import DataError
from longtail.posthoc import estimate_target_prior
from longtail.posthoc.residual import mix_residual, residual_cells, residual_test

CHANGED = "more than the class mix has changed"
MAY_HAVE = "more than the class mix may have changed"


def test_decisions_alone_are_explained_by_some_mix():
    """As many shares as cells: nothing is left over to judge by."""
    assert mix_residual(COUNTS, [30, 40, 30]) is None


def test_two_classes_against_the_formula_by_hand():
    """One share to fit: a weighted least-squares line, solved as one, with the chance in full."""
    labelled = np.array([[60.0, 10], [25, 20], [15, 70]])
    seen = np.array([50.0, 90, 60])
    r, m, u = labelled / labelled.sum(0), seen / seen.sum(), seen.sum()

    def height(q):  # of the joint likelihood, at the best shares for this mix
        s = r.copy()
        for _ in range(4000):
            part = s * [q, 1 - q] * (seen / (s @ [q, 1 - q]))[:, None]
            s = (labelled + part) / (labelled + part).sum(0)
        return (labelled * np.log(s)).sum() + (seen * np.log(s @ [q, 1 - q])).sum(), s

    grid = np.linspace(0.3, 0.7, 81)
    mix = grid[np.argmax([height(q)[0] for q in grid])]
    _, s = height(mix)
    said = s @ [mix, 1 - mix]
    v = (np.diag(said) - np.outer(said, said)) / u
    for j, w in enumerate((mix, 1 - mix)):
        v += w**2 * (np.diag(s[:, j]) - np.outer(s[:, j], s[:, j])) / labelled[:, j].sum()
    inverse = np.linalg.pinv(v)
    slope, rest = r[:, 0] - r[:, 1], m - r[:, 1]
    best = (slope @ inverse @ rest) / (slope @ inverse @ slope)
    left = rest - best * slope
    found = mix_residual(labelled, seen)
    assert found == mix_residual(np.insert(labelled, 1, 0, axis=0), np.insert(seen, 1, 0))
    assert found.freedom == 1
    assert found.statistic == pytest.approx(left @ inverse @ left, rel=2e-2)
    from math import erfc, sqrt

    assert found.p == pytest.approx(erfc(sqrt(found.statistic / 2)), rel=1e-9)


def test_cells_are_decisions_by_thirds_of_confidence():
    p = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]], dtype=torch.float64)
    known = torch.tensor([[0.95, 0.05], [0.75, 0.25], [0.6, 0.4]], dtype=torch.float64)
    new, old = residual_cells(p, known)
    assert new.tolist() == [2, 1, 0, 3]
    assert old.tolist() == [2, 1, 0]


def test_rows_of_another_mix_pass_as_often_as_they_should():
    below = []
    for seed in range(60):
        new, old, y, prior, _ = problem(seed, rows=1000, each=60, heat=2.0)
        found = residual_test(*((z - prior.log()).softmax(1) for z in (new, old)), y)
        assert 1 <= found.freedom <= 12
        below.append(found.p < np.array([0.2, 0.01]))
    often, rarely = np.mean(below, axis=0)
    assert often <= 0.3
    assert rarely <= 0.05


def test_rows_that_are_otherwise_do_not():
    """The same mix of unlabelled rows, of which a part lies elsewhere."""
    new, old, y, prior, _ = problem(2, rows=1200, each=60)
    given = {"effective": prior, "reference": prior, "resamples": 100}
    plain = estimate_target_prior(new, old, y, **given)
    assert plain.residual.p > 0.01
    assert plain.verdict in ("use", "use_with_care")
    assert not any("mix" in reason for reason in plain.reasons)
    blurred = torch.cat([new[:300], 0.3 * new[300:]])
    found = estimate_target_prior(blurred, old, y, **given)
    assert found.residual.p < 1e-4
    assert found.verdict == "refuse"
    assert CHANGED in found.reasons[0]
    with pytest.raises(DataError, match=CHANGED):
        found.usable()
    blind = estimate_target_prior(new[:60], old[::6], y[::6], **given)
    assert blind.residual is None
    assert "not tested" in blind.reasons[-1]
    told = json.loads(json.dumps(found.to_data()))["residual"]
    assert told == {"statistic": found.residual.statistic, "freedom": found.residual.freedom,
                    "p": found.residual.p}  # fmt: skip
    fewer = torch.cat([new[:600], 0.3 * new[600:]])
    care = estimate_target_prior(fewer, old, y, **given)
    assert 1e-4 <= care.residual.p < 0.01
    assert any(MAY_HAVE in reason for reason in care.reasons)
    assert care.verdict == "use_with_care"


def test_classes_renamed_and_cells_without_enough_rows():
    new, old, y, prior, _ = problem(5, rows=500)
    p, known = ((z - prior.log()).softmax(1) for z in (new, old))
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    one = residual_test(p, known, y)
    other = residual_test(p[:, order], known[:, order], torch.argsort(order)[y])
    assert other.freedom == one.freedom
    assert other.statistic == pytest.approx(one.statistic, rel=1e-4)
    assert residual_test(p[:20], known, y) is None or residual_test(p[:20], known, y).freedom < 3
    assert residual_test(p, known[y > 0], y[y > 0]) is None


def test_what_else_an_estimate_says():
    new, old, y, prior, _ = problem(3, rows=2000, each=60)
    found = estimate_target_prior(new, old, y, effective=prior, reference=prior, resamples=100)
    assert found.frame == "uniform"
    assert 1 <= found.effective_rank <= 6
    assert found.boundary == ()
    low, high = found.gain[1:]
    assert low < found.gain[0] < high
    decided = {"plain": old.argmax(1), "moved": (old - prior.log() + found.prior.log()).argmax(1)}
    right = {
        k: [float((v[y == c] == c).double().mean()) for c in range(6)] for k, v in decided.items()
    }
    want = found.prior.numpy() @ np.subtract(right["moved"], right["plain"])
    assert found.gain[0] == pytest.approx(want, abs=1e-9)
    assert "points [" in found.lines()[1]
    assert "bbse" in found.lines()[2]
