"""The general pairwise-margin loss: its presets, any matrix, and consistency."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from longtail import create
from longtail.errors import ConfigError, DataError, UnknownNameError
from longtail.functional import consistency_gap, pairwise_matrix
from longtail.losses import PairwiseMargin
from longtail.posthoc import effective_prior
from longtail.registry import part
from longtail.types import ClassStats

pytestmark = pytest.mark.usefixtures("untouched_randomness")

N = [100, 10, 1]
PI = np.array(N) / 111
Z = torch.tensor([[2.0, 1.0, 0.5]], dtype=torch.float64).expand(3, 3)
Y = torch.arange(3)


def margins(preset, weight=None, tau=1.0, margin=1.0):
    """``(C, C)`` margins written out, row y and column k."""
    w = np.ones(3) if weight is None else weight
    table = {
        "consistent": lambda y, k: np.log(w[k] * PI[k] / (w[y] * PI[y])),
        "la": lambda y, k: tau * np.log(PI[k] / PI[y]),
        "ldam": lambda y, k: margin * (N[y] / min(N)) ** -0.25,
        "equalization": lambda y, k: tau * np.log(PI[k]),
        "zero": lambda y, k: 0.0,
    }[preset]
    return np.array([[0.0 if y == k else table(y, k) for k in range(3)] for y in range(3)])


def reference(z, y, delta, weight=None):
    """The formula, one pair after the other."""
    w = np.ones(len(z[0])) if weight is None else weight
    out = []
    for row, label in zip(z, y, strict=True):
        others = sum(
            np.exp(row[k] - row[label] + delta[label][k]) for k in range(len(row)) if k != label
        )
        out.append(w[label] * np.log1p(others))
    return np.array(out)


def test_worked_number_of_the_rarest_class():
    loss = PairwiseMargin(class_counts=N, reduction="none")
    np.testing.assert_allclose(loss(Z, Y), [0.038277, 3.340862, 6.143447], atol=1e-6)
    matrix = PairwiseMargin(margins("la"), class_counts=N, reduction="none")
    np.testing.assert_allclose(matrix(Z, Y), [0.038277, 3.340862, 6.143447], atol=1e-6)


@pytest.mark.parametrize("preset", ["consistent", "la", "ldam", "equalization", "zero"])
@pytest.mark.parametrize("weighted", [False, True])
def test_presets_are_the_formula_and_their_matrix(preset, weighted):
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(12, 3)) * 3, rng.integers(0, 3, 12)
    weight = np.array([0.2, 0.7, 2.1]) if weighted else None
    options = {"tau": 0.7, "margin": 1.3}
    given = None if weight is None else weight.tolist()
    loss = PairwiseMargin(preset, weight=given, class_counts=N, reduction="none", **options)
    delta = margins(preset, weight, **options)
    expected = reference(z, y, delta, weight)
    x = torch.tensor(z, requires_grad=True)
    np.testing.assert_allclose(loss(x, torch.tensor(y)).detach(), expected, rtol=1e-10)
    full = PairwiseMargin(delta, weight=given, class_counts=N, reduction="none")
    np.testing.assert_allclose(full(x, torch.tensor(y)).detach(), expected, rtol=1e-10)
    columns = np.stack([reference(z, np.full(12, c), delta, weight) for c in range(3)], 1)
    q = rng.dirichlet(np.ones(3), size=12)
    for one in (loss, full):
        soft = one(x, torch.tensor(q)).detach()
        np.testing.assert_allclose(soft, (q * columns).sum(1), rtol=1e-10)
    (grad,) = torch.autograd.grad(loss(x, torch.tensor(y)).sum(), x)
    for i, j in ((0, 0), (3, 1), (7, 2)):
        step = np.zeros_like(z)
        step[i, j] = 1e-6
        up, down = (reference(z + s, y, delta, weight).sum() for s in (step, -step))
        assert float(grad[i, j]) == pytest.approx((up - down) / 2e-6, abs=1e-7)


def test_the_ends_of_the_family():
    rng = np.random.default_rng(1)
    z, y = torch.tensor(rng.normal(size=(9, 3))), torch.tensor(rng.integers(0, 3, 9))
    la = create("loss", "la", class_counts=N)
    assert float(PairwiseMargin(class_counts=N)(z, y)) == pytest.approx(float(la(z, y)))
    inverse = part("inverse_frequency")
    both = {"weight": inverse, "reduction": "weighted_mean", "class_counts": N}
    weighted = create("loss", "cross_entropy", **both)
    found = create("loss", "la_pairwise", **both)
    assert float(found(z, y)) == pytest.approx(float(weighted(z, y)))
    ldam = create("loss", "ldam", margin=0.5, scale=1.0, class_counts=N)
    other = PairwiseMargin("ldam", margin=0.5, class_counts=N)
    assert float(other(z, y)) == pytest.approx(float(ldam(z, y)))


def least_expected_loss(loss, joint):
    """Scores that minimise the expected loss on points with ``joint[x, y]`` probability."""
    z = torch.zeros(joint.shape, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [z], max_iter=2000, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        solver.zero_grad()
        rows = torch.stack([loss(z, torch.full((len(z),), c)) for c in range(z.shape[1])], 1)
        total = 1000 * (torch.tensor(joint) * rows).sum()
        total.backward()
        return total

    solver.step(closure)
    return z.detach().numpy()


@pytest.mark.parametrize("power", [0.0, 0.3, 0.5, 1.0])
def test_consistent_margins_find_the_least_balanced_error(power):
    """The minimum of the expected loss decides like the Bayes rule of the balanced error."""
    rng = np.random.default_rng(3)
    likelihood = rng.dirichlet(np.ones(6) * 0.8, size=3).T  # p(x | y): 6 points, 3 classes
    joint = likelihood * PI
    weight = part("inverse_frequency", power=power)
    loss = create("loss", "la_pairwise", weight=weight, class_counts=N, reduction="none")
    assert loss.consistency_gap() == pytest.approx(0, abs=1e-12)
    z = least_expected_loss(loss, joint)
    np.testing.assert_array_equal(z.argmax(1), likelihood.argmax(1))
    shown = z - z.mean(1, keepdims=True)
    wanted = np.log(likelihood) - np.log(likelihood).mean(1, keepdims=True)
    np.testing.assert_allclose(shown, wanted, atol=1e-3)


@pytest.mark.parametrize("preset", ["ldam", "equalization", "zero"])
def test_other_margins_do_not_and_say_so(preset):
    likelihood = np.array([[0.40, 0.05, 0.35], [0.35, 0.60, 0.05], [0.25, 0.35, 0.60]])
    loss = PairwiseMargin(preset, class_counts=N, reduction="none")
    assert loss.consistency_gap() > 0.5
    z = least_expected_loss(loss, likelihood * PI)
    assert (z.argmax(1) != likelihood.argmax(1)).any()


def test_the_gap_is_the_largest_of_the_matrix():
    rng = np.random.default_rng(4)
    for _ in range(20):
        c = int(rng.integers(2, 6))
        columns, rows, weight = rng.normal(size=c), rng.normal(size=c), rng.uniform(0.5, 2, c)
        log_prior = np.log(rng.dirichlet(np.ones(c)))
        g = np.log(weight) + log_prior
        gaps = [
            abs(columns[k] - rows[y] - (g[k] - g[y])) for y in range(c) for k in range(c) if k != y
        ]
        given = [torch.tensor(v) for v in (columns, rows, weight, log_prior)]
        assert consistency_gap(*given) == pytest.approx(max(gaps))
        matrix = columns[None] - rows[:, None]
        np.fill_diagonal(matrix, 0)
        flat = torch.zeros(c, dtype=torch.float64)
        assert consistency_gap(torch.tensor(matrix), flat, *given[2:]) == pytest.approx(max(gaps))


def test_margins_of_ones_own_are_checked_against_the_weights():
    good = PairwiseMargin(margins("la"), class_counts=N)
    assert good.consistency_gap() == pytest.approx(0, abs=1e-12)
    bad = PairwiseMargin(margins("la"), weight=[1.0, 1.0, 3.0], class_counts=N)
    assert bad.consistency_gap() == pytest.approx(np.log(3))


def test_effective_prior_where_there_is_one():
    natural = ClassStats(N).prior
    even = torch.full((3,), 1 / 3, dtype=torch.float64)
    for loss in (
        PairwiseMargin(class_counts=N),
        PairwiseMargin(margins("la"), class_counts=N),
        create("loss", "la_pairwise", weight=part("inverse_frequency", power=0.5), class_counts=N),
    ):
        found = effective_prior(natural, loss.class_weight(), loss.prior_offset(), natural=natural)
        torch.testing.assert_close(found, even)
    for preset in ("ldam", "equalization"):
        assert PairwiseMargin(preset, class_counts=N).prior_offset() is None
    assert PairwiseMargin(margins("ldam"), class_counts=N).prior_offset() is None


def test_presets_keep_no_square():
    c = 8142
    loss = PairwiseMargin(class_counts=torch.arange(c) % 900 + 1)
    assert max(b.numel() for b in loss.buffers()) == c
    z = torch.randn(4, c, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss(z, torch.tensor([0, 5, 99, 8141])).backward()
    assert torch.isfinite(z.grad).all()


def test_a_pair_may_be_left_out_and_a_class_masked():
    delta = margins("zero")
    delta[0, 2] = -np.inf
    loss = PairwiseMargin(delta, class_counts=N, reduction="none")
    np.testing.assert_allclose(loss(Z[:1], Y[:1]), [np.log1p(np.exp(-1.0))], rtol=1e-12)
    masked = ClassStats([100, 10, 0], on_empty="ignore")
    for kind in ("consistent", "ldam", margins("zero")):
        part_ = PairwiseMargin(kind, class_counts=masked, reduction="none")
        far = Z[:2].clone()
        far[:, 2] = 1e4
        torch.testing.assert_close(part_(far, Y[:2]), part_(Z[:2], Y[:2]))


@pytest.mark.parametrize("kind", ["consistent", "ldam", "equalization", "matrix"])
def test_half_precision_at_1e4(kind):
    loss = PairwiseMargin(margins("la") if kind == "matrix" else kind, class_counts=N)
    z = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]]).half().requires_grad_()
    value = loss(z, torch.tensor([1, 0]))
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.isfinite(z.grad).all()


def test_what_does_not_fit_is_refused():
    own = margins("la")
    own[1, 1] = 0.1
    with pytest.raises(ConfigError, match=r"diagonal.*must be zero; it is not at \[1\]"):
        PairwiseMargin(own)
    with pytest.raises(ConfigError, match=r"must be \(C, C\), not \(2, 3\)"):
        PairwiseMargin([[0.0, 1.0, 2.0], [1.0, 0.0, 2.0]])
    with pytest.raises(ConfigError, match="finite"):
        PairwiseMargin([[0.0, float("nan")], [1.0, 0.0]])
    with pytest.raises(ConfigError, match="no array of numbers"):
        PairwiseMargin([["a", "b"], ["c", "d"]])
    with pytest.raises(DataError, match="margins of 3 classes for 4 classes"):
        PairwiseMargin(margins("la"), class_counts=[5, 4, 3, 2])
    with pytest.raises(UnknownNameError, match="did you mean 'equalization'"):
        PairwiseMargin("equalisation")
    for bad in ({"tau": -1.0}, {"margin": float("inf")}):
        with pytest.raises(ConfigError, match="finite"):
            PairwiseMargin(**bad)


@pytest.mark.parametrize(
    "delta", [None, {}, [[0, None], [1, 0]], [["a", "b"]], [[0, 1], [1]], 1j, [[0, 1j], [1, 0]], 3]
)
def test_margins_that_are_no_numbers(delta):
    with pytest.raises(ConfigError, match="pairwise margins") as caught:
        PairwiseMargin(delta)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("value", [None, "much", [1.0, 2.0]])
def test_options_that_are_no_numbers(value):
    for options in ({"tau": value}, {"margin": value}):
        with pytest.raises(ConfigError, match="must be finite and at least 0"):
            PairwiseMargin(**options)


@pytest.mark.parametrize("weight", ["much", ["a", "b"], [1, None], [[1], [1, 2]]])
def test_class_weights_that_are_no_numbers(weight):
    with pytest.raises(ConfigError, match="class weights are no list of numbers"):
        PairwiseMargin(weight=weight)


@pytest.mark.parametrize("delta", [None, 3.0, torch.zeros(2, 2), torch.zeros(3)])
def test_the_function_refuses_margins_that_do_not_fit(delta):
    with pytest.raises(DataError, match=r"must be a \(3, 3\) tensor"):
        pairwise_matrix(Z, Y, delta)
