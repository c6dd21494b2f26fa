"""What must hold of every loss, whatever its formula."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
from torch.nn import functional as F

from longtail import create
from longtail.errors import LongtailError, UnboundPartError
from longtail.losses import LDAM, BalancedSoftmax, CrossEntropy, EffectiveNumber, Focal, Uniform
from longtail.registry import part, records
from longtail.types import ClassStats

pytestmark = pytest.mark.usefixtures("untouched_randomness")

NAMES = [r.name for r in records("losses")]
TAGS = {r.name: r.tags for r in records("losses")}
N = [300, 4, 57, 19, 1]
OWN = ["cross_entropy", "focal", "bce_on_softmax", "ldam", "balanced_softmax", "la"]


def batch(rows=12, classes=5, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    z = 3 * torch.randn(rows, classes, generator=g, dtype=dtype)
    return z, torch.randint(0, classes, (rows,), generator=g)


def make(name, counts=N, **options):
    return create("loss", name, class_counts=counts, **options)


@pytest.fixture(params=OWN)
def name(request):
    return request.param


def test_every_loss_of_this_room_is_here():
    assert set(OWN) <= set(NAMES)


@pytest.mark.parametrize("weight", [None, "inverse_frequency"])
def test_renaming_the_classes_changes_nothing(name, weight):
    z, y = batch()
    p = torch.tensor([3, 0, 4, 1, 2])
    how = {} if weight is None else {"weight": part(weight)}
    one = make(name, **how)(z, y)
    other = make(name, torch.tensor(N)[p], **how)(z[:, p], torch.argsort(p)[y])
    torch.testing.assert_close(one, other)


def test_uniform_counts_reduce_to_the_base_loss(name):
    z, y = batch()
    loss = make(name, [40] * 5, weight=part("effective_number"))
    if "reduces_to_ce" in TAGS[name]:
        torch.testing.assert_close(loss(z, y), F.cross_entropy(z, y))
    elif name == "ldam":
        shifted = z - 15 * F.one_hot(y, 5)
        torch.testing.assert_close(loss(z, y), F.cross_entropy(shifted, y))
    else:
        torch.testing.assert_close(loss(z, y), make(name)(z, y))


def test_a_constant_added_to_all_logits_changes_nothing(name):
    z, y = batch()
    torch.testing.assert_close(make(name)(z + 17.0, y), make(name)(z, y))


def test_gradients_are_right(name):
    z, y = batch(rows=4)
    z.requires_grad_()
    q = torch.softmax(batch(rows=4, seed=5)[0], 1)
    for target in (y, q):
        loss = make(name, weight=part("inverse_frequency"), reduction="weighted_mean")
        assert torch.autograd.gradcheck(lambda z, t=target, f=loss: f(z, t), (z,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("reduction", ["mean", "weighted_mean", "none"])
def test_half_precision_stays_finite(name, dtype, reduction):
    counts = [10**8, 70_000, 57, 19, 1]
    z = torch.tensor([[1e3, -1e3, 0, 1e3, -1e3], [-1e3, 1e3, -1e3, -1e3, -1e3]], dtype=dtype)
    z.requires_grad_()
    loss = make(name, counts, reduction=reduction, weight=part("effective_number"))
    for target in (torch.tensor([1, 1]), torch.tensor([[0.5, 0, 0, 0, 0.5], [0, 1.0, 0, 0, 0]])):
        value = loss(z, target)
        (grad,) = torch.autograd.grad(value.sum(), z)
        assert value.dtype == torch.float32
        assert torch.isfinite(value).all()
        assert torch.isfinite(grad).all()


def test_autocast_and_half_modules_keep_the_prior_wide(name):
    z, y = batch(dtype=torch.float32)
    loss = make(name, weight=[1.0, 2.0, 3.0, 4.0, 5.0])
    expected = loss(z.bfloat16().float(), y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(loss(z.bfloat16(), y), expected)
        loss(z, y, sample_weight=torch.ones(12))
    torch.testing.assert_close(loss.to(torch.bfloat16)(z.bfloat16(), y), expected)
    torch.testing.assert_close(loss.half().float()(z.bfloat16(), y), expected)


def test_certain_rows_have_finite_gradients():
    z = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    for gamma in (0.3, 1.0, 2.0, 2.5):
        for form in ("softmax", "sigmoid"):
            (grad,) = torch.autograd.grad(Focal(gamma, form=form)(z, torch.tensor([0])), z)
            assert torch.isfinite(grad).all()


@pytest.mark.parametrize("reduction", ["mean", "weighted_mean", "sum", "none"])
def test_one_hot_targets_equal_labels(name, reduction):
    z, y = batch()
    loss = make(name, weight=part("inverse_frequency"), reduction=reduction)
    torch.testing.assert_close(loss(z, F.one_hot(y, 5).double()), loss(z, y))
    v = torch.linspace(0.1, 2, 12)
    soft, hard = (loss(z, t, sample_weight=v) for t in (F.one_hot(y, 5).double(), y))
    torch.testing.assert_close(soft, hard)


def test_soft_targets_are_linear_in_the_target(name):
    z, y = batch()
    other = y.roll(1)
    loss = make(name, weight=part("inverse_frequency"), reduction="none")
    q = 0.3 * F.one_hot(y, 5) + 0.7 * F.one_hot(other, 5).double()
    torch.testing.assert_close(loss(z, q), 0.3 * loss(z, y) + 0.7 * loss(z, other))


@pytest.mark.parametrize("reduction", ["mean", "weighted_mean"])
def test_mixed_pairs_equal_soft_targets(name, reduction):
    z, y = batch()
    other, lam = y.roll(1), torch.linspace(0, 1, 12, dtype=torch.float64)
    loss = make(name, weight=part("inverse_frequency"), reduction=reduction)
    q = lam[:, None] * F.one_hot(y, 5) + (1 - lam[:, None]) * F.one_hot(other, 5)
    pairs = [(y, lam), (other, 1 - lam)]
    for v in (None, torch.linspace(0.5, 2, 12)):
        got, expected = loss.mixed_sums(z, pairs, sample_weight=v), loss.sums(z, q, sample_weight=v)
        torch.testing.assert_close(got[0], expected[0])
        torch.testing.assert_close(got[1], expected[1])
    alone = loss.mixed_sums(z, [(y, None)])
    torch.testing.assert_close(alone[0] / alone[1], loss(z, y))


@pytest.mark.parametrize("reduction", ["mean", "weighted_mean", "sum"])
@pytest.mark.parametrize("weight", [None, "inverse_frequency"])
def test_sums_add_up_over_micro_batches(name, reduction, weight):
    z, y = batch()
    y[3] = -100
    how = {} if weight is None else {"weight": part(weight)}
    loss = make(name, reduction=reduction, **how)
    halves = [loss.sums(a, b) for a, b in zip(z.split(5), y.split(5), strict=True)]
    numerator, denominator = (sum(h[k] for h in halves) for k in (0, 1))
    if reduction == "sum":
        torch.testing.assert_close(numerator, loss(z, y))
    else:
        torch.testing.assert_close(numerator / denominator, loss(z, y))


def test_ignored_rows_do_not_count(name):
    z, y = batch()
    gone = torch.arange(12) % 3 == 0
    for reduction in ("mean", "weighted_mean", "sum"):
        how = {"reduction": reduction, "weight": part("inverse_frequency")}
        for index in (-100, 3, 255):
            label = torch.where(gone, index, torch.where(y == 3, 2, y))
            expected = make(name, **how)(z[~gone], label[~gone])
            got = make(name, ignore_index=index, **how)(z, label)
            torch.testing.assert_close(got, expected)
    rows = make(name, reduction="none")(z, torch.where(gone, -100, y))
    assert (rows[gone] == 0).all()


@pytest.mark.parametrize("shape", [(3,), (2, 2)])
@pytest.mark.parametrize("reduction", ["mean", "weighted_mean", "sum", "none"])
def test_dense_predictions(name, shape, reduction):
    g = torch.Generator().manual_seed(4)
    z = torch.randn(4, 5, *shape, generator=g, dtype=torch.float64)
    y = torch.randint(0, 5, (4, *shape), generator=g)
    y[0] = -100
    loss = make(name, reduction=reduction, weight=part("inverse_frequency"))
    flat = loss(z.movedim(1, -1).reshape(-1, 5), y.reshape(-1))
    torch.testing.assert_close(loss(z, y).reshape(flat.shape), flat)
    v = torch.linspace(0.5, 2, 4, dtype=torch.float64)
    spread = v.reshape(-1, *[1] * len(shape)).expand(y.shape)
    torch.testing.assert_close(loss(z, y, sample_weight=v), loss(z, y, sample_weight=spread))
    assert loss(z, y).shape == (y.shape if reduction == "none" else ())


def test_a_batch_of_one_and_inputs_left_alone(name):
    z, y = batch(rows=1)
    before = z.clone()
    value = make(name)(z, y)
    assert value.shape == ()
    assert torch.isfinite(value)
    assert torch.equal(z, before)


@pytest.mark.parametrize("policy", ["smooth", "ignore"])
def test_a_class_without_samples(name, policy):
    stats = ClassStats([300, 0, 57, 19, 1], on_empty=policy)
    with pytest.raises(LongtailError):
        make(name, [300, 0, 57, 19, 1])
    z, y = batch()
    y[y == 1] = 0
    z.requires_grad_()
    loss = make(name, stats, weight=part("effective_number"))
    for target in (y, F.one_hot(y, 5).double()):
        (grad,) = torch.autograd.grad(loss(z, target), z)
        assert torch.isfinite(grad).all()
        if policy == "ignore" and name in ("balanced_softmax", "la"):
            assert (grad[:, 1] == 0).all()


@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_smoothing_skips_a_masked_class(tau):
    stats = ClassStats([300, 0, 57], on_empty="ignore")
    loss = make("la", stats, tau=tau, label_smoothing=0.3, reduction="none")
    z, y = torch.tensor([[1.0, 9.0, 0.5]]), torch.tensor([2])
    log_p = torch.log_softmax(z[:, [0, 2]] + tau * torch.tensor([300.0, 57.0]).log(), 1)
    expected = -(0.15 * log_p[:, 0] + 0.85 * log_p[:, 1])
    torch.testing.assert_close(loss(z, y), expected)
    torch.testing.assert_close(loss(z, F.one_hot(y, 3).float()), expected)


def test_prior_offsets():
    stats = ClassStats(N)
    assert torch.equal(make("cross_entropy").prior_offset(), torch.zeros(5).double())
    assert torch.equal(make("balanced_softmax").prior_offset(), stats.log_prior)
    assert torch.equal(make("la", tau=2.0).prior_offset(), 2 * stats.log_prior)
    assert make("ldam").prior_offset() is None
    assert make("focal").prior_offset() is None
    assert torch.equal(make("focal", gamma=0.0).prior_offset(), torch.zeros(5).double())
    assert make("ldam", scale=16.0).scale == 16.0
    assert make("cross_entropy").scale is None
    assert make("cross_entropy").class_weight() is None
    assert torch.equal(make("ldam", weight=part("uniform")).class_weight(), torch.ones(5).double())


def test_state_is_in_buffers_and_survives_copies(name):
    z, y = batch()
    loss = make(name, weight=part("effective_number"))
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        torch.testing.assert_close(twin(z, y), loss(z, y))
    other = make(name, [1, 2, 3, 4, 5], weight=part("effective_number"))
    other.load_state_dict(loss.state_dict())
    torch.testing.assert_close(other(z, y), loss(z, y))
    other.bind(ClassStats([1, 2, 3, 4, 5]))
    fresh = make(name, [1, 2, 3, 4, 5], weight=part("effective_number"))
    torch.testing.assert_close(other(z, y), fresh(z, y))


@pytest.mark.parametrize("loss", [BalancedSoftmax(), LDAM(), CrossEntropy(weight=Uniform())])
def test_an_unbound_loss_says_so(loss):
    z, y = batch()
    with pytest.raises(UnboundPartError, match="class counts"):
        loss(z, y)


@pytest.mark.parametrize(
    ("logits", "target"),
    [
        (torch.zeros(3, 5), torch.tensor([0, 1, 5])),
        (torch.zeros(3, 5), torch.tensor([0, 1, -1])),
        (torch.zeros(3, 5), torch.tensor([0, 1])),
        (torch.zeros(3, 4), torch.tensor([0, 1, 2])),
        (torch.zeros(5), torch.tensor(2)),
        (torch.zeros(3, 5).long(), torch.tensor([0, 1, 2])),
        (torch.zeros(3, 5), torch.tensor([0.0, 1.0, 2.0])),
        (torch.zeros(3, 5), torch.zeros(3, 5, dtype=torch.int64)),
        (torch.zeros(3, 5), torch.tensor([True, False, True])),
    ],
)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_bad_input_is_refused_in_two_lines(name, logits, target, reduction):
    for options in ({}, {"weight": part("effective_number")}):
        with pytest.raises(LongtailError) as caught:
            make(name, reduction=reduction, **options)(logits, target)
        assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("cross_entropy", {"reduction": "avg"}),
        ("cross_entropy", {"label_smoothing": 1.0}),
        ("cross_entropy", {"weight": [1.0, -1.0, 1.0, 1.0, 1.0]}),
        ("cross_entropy", {"weight": [1.0, 1.0]}),
        ("cross_entropy", {"weight": [float("nan")] * 5}),
        ("cross_entropy", {"gama": 1.0}),
        ("focal", {"gamma": -1.0}),
        ("focal", {"gamma": float("nan")}),
        ("focal", {"form": "softmx"}),
        ("la", {"tau": float("inf")}),
        ("ldam", {"margin": -0.1}),
        ("ldam", {"scale": 0.0}),
    ],
)
def test_bad_options_are_refused_in_two_lines(kind, options):
    with pytest.raises(LongtailError) as caught:
        make(kind, **options)
    assert len(str(caught.value).splitlines()) == 2


def test_bad_weights_are_refused():
    for name, options in (
        ("effective_number", {"beta": 1.0}),
        ("inverse_frequency", {"power": float("nan")}),
        ("deferred", {"inner": part("uniform"), "after": 1.5}),
    ):
        with pytest.raises(LongtailError):
            create("weight", name, **options)
    with pytest.raises(LongtailError, match="sample weights"):
        make("ldam")(*batch(), sample_weight=torch.ones(3))
    with pytest.raises(UnboundPartError):
        EffectiveNumber()()


def test_small_integer_labels_and_strided_logits():
    z, y = batch()
    loss = make("ldam", weight=part("effective_number"))
    expected = loss(z, y)
    for dtype in (torch.int8, torch.uint8, torch.int32):
        torch.testing.assert_close(loss(z, y.to(dtype)), expected)
        torch.testing.assert_close(make("la")(z, y.to(dtype)), make("la")(z, y))
    torch.testing.assert_close(loss(z.T.contiguous().T, y), expected)


def test_eight_thousand_classes():
    counts = torch.arange(1, 8143)
    z = torch.randn(4, 8142, generator=torch.Generator().manual_seed(0), requires_grad=True)
    y = torch.tensor([0, 8141, 4000, 17])
    for name in OWN:
        loss = create("loss", name, class_counts=counts, weight=part("effective_number"))
        assert torch.isfinite(torch.autograd.grad(loss(z, y), z)[0]).all()


def test_losses_trace_into_one_graph(name):
    z, y = batch(dtype=torch.float32)
    loss = make(name, weight=part("deferred", part("effective_number")))
    traced = torch.compile(loss, backend="eager", fullgraph=True)
    torch.testing.assert_close(traced(z, y), loss(z, y))


@pytest.mark.parametrize("name", ["ldam", "elm", "kps", "gcl", "uncertainty_margin"])
def test_logits_that_are_no_scaled_cosines_are_told_once(name):
    z = torch.randn(32, 5, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    y = torch.arange(32) % 5
    for wrong, said in ((40 * z, "up to 40"), (z, "before they are scaled")):
        loss = create("loss", name, scale=20.0, class_counts=N)
        with pytest.warns(UserWarning, match=said) as told:
            twice = [loss(wrong, y) for _ in range(2)]
        assert len(told) == 1
        assert torch.equal(*twice) or loss.noisy
        assert told[0].filename == __file__


@pytest.mark.parametrize("name", ["ldam", "dot_regression", "focal"])
def test_logits_of_the_right_size_are_not_told(name):
    z = torch.randn(32, 5, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss = create("loss", name, class_counts=N)
        loss(30 * z.bfloat16(), torch.arange(32) % 5, features=z)
        few = create("loss", name, class_counts=N)
        few(0.1 * z[:2], torch.arange(2), features=z[:2])
