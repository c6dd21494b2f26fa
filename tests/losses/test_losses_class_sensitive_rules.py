"""What the specification says of suppression, margins, temperatures and noise."""

from __future__ import annotations

import math

import pytest
import torch
from tests.losses.rare import COUNTS, f64, make, rows_of_numbers
from torch.nn import functional as F

from longtail import create
from longtail.errors import DataError, LongtailError
from longtail.functional.remargin import cloud_widths, half_normal
from longtail.registry import part
from longtail.types import ClassStats

pytestmark = pytest.mark.usefixtures("untouched_randomness")


def test_special_cases():
    z, y, _ = rows_of_numbers()
    same = torch.testing.assert_close
    same(make("vs", COUNTS, gamma=0.0, tau=1.4)(z, y), make("la", COUNTS, tau=1.4)(z, y))
    ldam = make("ldam", COUNTS, scale=4.0)(z, y)
    same(make("elm", COUNTS, scale=4.0, strength=0.0)(z, y), ldam)
    bce = F.binary_cross_entropy_with_logits(z, F.one_hot(y, 5).double(), reduction="none").sum(1)
    same(make("eql", COUNTS, gamma=0.0, form="sigmoid")(z, y), bce)
    same(make("eql", COUNTS, threshold=1e-4)(z, y), F.cross_entropy(z, y, reduction="none"))
    same(make("acsl", COUNTS, threshold=1e-12)(z, y), bce)


def test_equal_counts_leave_the_base_loss():
    z, y, _ = rows_of_numbers()
    even, ce = [7] * 5, F.cross_entropy(z, y, reduction="none")
    for name in ("vs", "eql", "gcl", "elm"):
        torch.testing.assert_close(make(name, even)(z, y), ce)
    torch.testing.assert_close(make("seesaw", even, q=0.0)(z, y), ce)
    cosface = F.cross_entropy(z - 3.0 * F.one_hot(y, 5), y, reduction="none")
    torch.testing.assert_close(make("kps", even, after=0.0)(z, y), cosface)
    assert torch.equal(cloud_widths(even), torch.zeros(5).double())


def test_a_constant_added_changes_what_it_should():
    z, y, _ = rows_of_numbers()
    for name, options in (("seesaw", {}), ("eql", {"gamma": 1.0}), ("vs", {"gamma": 0.0})):
        loss = make(name, COUNTS, **options)
        torch.testing.assert_close(loss(z + 17.0, y), loss(z, y))
    for name, options in (("vs", {}), ("acsl", {})):
        loss = make(name, COUNTS, **options)
        assert not torch.allclose(loss(z + 17.0, y), loss(z, y))


def test_phases_of_vector_scaling_follow_the_clock():
    z, y, _ = rows_of_numbers()
    loss = make("vs", COUNTS, gamma=0.4, after=0.2, truncate=0.8)
    ce = F.cross_entropy(z, y, reduction="none")
    full, la = make("vs", COUNTS, gamma=0.4)(z, y), make("la", COUNTS)(z, y)
    for epoch in range(10):
        loss.set_epoch(epoch, epochs=10)
        expected = ce if epoch < 2 else full if epoch < 8 else la
        torch.testing.assert_close(loss(z, y), expected)
        torch.testing.assert_close(loss.per_class(z).gather(1, y[:, None])[:, 0], expected)
        offset = loss.prior_offset()
        if 2 <= epoch < 8:
            assert offset is None
        else:
            torch.testing.assert_close(F.cross_entropy(z + offset, y, reduction="none"), expected)


def test_rows_of_rare_classes_grow_late():
    z, y, _ = rows_of_numbers()
    loss = make("kps", COUNTS, after=0.6)
    for epoch, after in ((0, None), (5, None), (6, 0.0), (9, 0.0)):
        loss.set_epoch(epoch, epochs=10)
        torch.testing.assert_close(loss(z, y), make("kps", COUNTS, after=after)(z, y))


def test_the_focal_factor_of_the_clouded_loss_has_no_gradient():
    z, y, noise = rows_of_numbers()
    plain = make("gcl", COUNTS, noise=noise, margin=0.1)
    focal = make("gcl", COUNTS, noise=noise, margin=0.1, gamma=2.0)
    leaf = z.clone().requires_grad_()
    l0 = plain(leaf, y)
    factor = (1 - torch.exp(-l0.detach())) ** 2
    torch.testing.assert_close(focal(leaf, y), factor * l0)
    got = torch.autograd.grad(focal(leaf, y).sum(), leaf)[0]
    torch.testing.assert_close(got, torch.autograd.grad((factor * l0).sum(), leaf)[0])


def test_angles_past_a_half_turn_still_fall():
    loss = make("gcl", COUNTS, form="angular", noise_level=0.0, margin=1.0, scale=5.0)
    z = torch.zeros(2, 5, dtype=torch.float64)
    z[:, 0] = f64([-4.9, -4.0])
    losses = loss(z, torch.zeros(2, dtype=torch.int64))
    assert losses[0] > losses[1], "a label further away costs more"


def test_half_normal_numbers():
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    e = half_normal(u)
    assert e.square().mean().item() == pytest.approx(1.0, abs=1e-3)
    assert e.mean().item() == pytest.approx(math.sqrt(2 / math.pi), abs=1e-4)
    assert torch.isfinite(half_normal(torch.tensor([1 - 2.0**-24]))).all()


def test_how_often_rare_classes_leave():
    loss = make("eql", [1000, 1000, 10, 10], gamma=0.3)
    kept = loss._kept(torch.zeros(20_000, 4))
    assert torch.equal(kept[:, :2], torch.ones(20_000, 2))
    assert (1 - kept[:, 2:]).mean().item() == pytest.approx(0.3, abs=0.01)
    torch.testing.assert_close(loss.eval()._kept(torch.zeros(1, 4)), f64([1, 1, 0.7, 0.7]).float())


def test_online_counts():
    """Labels count at once, mixed and ignored ones as told, none in eval mode."""
    z, y, _ = rows_of_numbers()
    loss = make("seesaw", COUNTS, "mean", counts="online")
    first = torch.bincount(y, minlength=5).double()
    torch.testing.assert_close(loss(z, y), make("seesaw", first.clamp_min(1), "mean")(z, y))
    assert torch.equal(loss.samples, first)
    twice = make("seesaw", (2 * first).clamp_min(1), "mean")
    torch.testing.assert_close(loss(z, y), twice(z, y))
    assert torch.equal(loss.samples, 2 * first)
    loss(z, torch.where(y == 1, -100, y))
    kept = first.clone()
    kept[1] = 0
    assert torch.equal(loss.samples, 2 * first + kept)
    before, place = loss.samples.clone(), loss.samples.data_ptr()
    now = loss.eval()(z, y)
    torch.testing.assert_close(now, make("seesaw", before.clamp_min(1), "mean")(z, y))
    assert torch.equal(loss.samples, before)
    q = F.one_hot(y, 5).double()
    loss.train()(z, 0.5 * q + 0.5 * q.roll(1, 0))
    torch.testing.assert_close(loss.samples, before + first)
    assert loss.samples.data_ptr() == place
    fresh = make("seesaw", COUNTS, "mean", counts="online")
    fresh.load_state_dict(loss.state_dict())
    torch.testing.assert_close(fresh(z, y), loss(z, y))


def test_online_counts_wait_for_the_step():
    z, y, _ = rows_of_numbers()
    loss = make("seesaw", COUNTS, "mean", counts="online").defer()
    loss.sums(z[:5], y[:5])
    loss.sums(z[5:], y[5:])
    assert loss.samples.sum() == 0
    loss.commit()
    assert torch.equal(loss.samples, torch.bincount(y, minlength=5).double())


@pytest.mark.parametrize("name", ["vs", "eql", "elm", "kps", "gcl", "seesaw"])
def test_a_masked_class(name):
    stats = ClassStats([300, 0, 57, 19, 1], on_empty="ignore")
    z, y, _ = rows_of_numbers()
    z, y = z.clone().requires_grad_(), torch.where(y == 1, 0, y)
    loss = make(name, stats, "mean", weight=part("effective_number"))
    (grad,) = torch.autograd.grad(loss(z, y), z)
    assert torch.isfinite(grad).all()
    if name == "vs":
        assert (grad[:, 1] == 0).all()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vs", {"gamma": -0.1}),
        ("vs", {"tau": float("nan")}),
        ("vs", {"after": 1.5}),
        ("vs", {"truncate": -0.5}),
        ("eql", {"threshold": 0.0}),
        ("eql", {"threshold": -0.1}),
        ("eql", {"gamma": 1.1}),
        ("eql", {"form": "sigmod"}),
        ("seesaw", {"p": -1.0}),
        ("seesaw", {"q": -1.0}),
        ("seesaw", {"floor": 0.0}),
        ("seesaw", {"counts": "on-line"}),
        ("acsl", {"threshold": 1.0}),
        ("acsl", {"threshold": 0.0}),
        ("elm", {"scale": 0.0}),
        ("elm", {"strength": float("inf")}),
        ("kps", {"base": 1.0}),
        ("kps", {"after": 2.0}),
        ("kps", {"largest": 3.0}),
        ("gcl", {"noise_level": -1.0}),
        ("gcl", {"gamma": -1.0}),
        ("gcl", {"form": "angle"}),
    ],
)
def test_bad_options_are_refused_in_two_lines(name, options):
    with pytest.raises(LongtailError) as caught:
        make(name, **options)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("easy", [False, True])
def test_angular_clouds_past_a_half_turn(easy):
    """Published: ``cos(t + d)`` while ``cos t > cos(pi - d)``, else ``cos t - sin(pi - d)``."""
    g = torch.Generator().manual_seed(3)
    cosine = torch.rand(600, 5, generator=g, dtype=torch.float64) * 2 - 1
    y = torch.randint(0, 5, (600,), generator=g)
    margin, s = 0.5, 12.0
    d = margin * F.one_hot(y, 5).double()
    inside = cosine > (0 if easy else torch.cos(math.pi - d))
    beyond = cosine if easy else cosine - torch.sin(math.pi - d)
    expected = torch.where(inside, torch.cos(torch.acos(cosine) + d), beyond)
    loss = make("gcl", COUNTS, form="angular", margin=margin, scale=s, easy_margin=easy).eval()
    want = F.cross_entropy(s * expected, y, reduction="none")
    torch.testing.assert_close(loss(s * cosine, y), want)
    assert int((~inside & (d > 0)).sum()) > 3


def test_a_masked_class_has_no_rank():
    """The margins and gains of the others are those they have without it."""
    ours = make("kps", ClassStats([100, 10, 0, 3], on_empty="ignore"))
    alone = make("kps", [100, 10, 3])
    kept = [0, 1, 3]
    torch.testing.assert_close(ours.margins[kept], alone.margins)
    torch.testing.assert_close(ours.gains[kept], alone.gains)


def test_labels_and_weights_that_do_not_fit():
    z = torch.zeros(2, 3)
    online = create("loss", "seesaw", class_counts=[9, 3, 1], counts="online")
    with pytest.raises(DataError, match="a label lies outside"):
        online(z, torch.tensor([0, 3]))
    for name in ("cross_entropy", "focal"):
        for weight in ([1.0, 2.0], [1.0, 2.0, 1.0, 1.0]):
            with pytest.raises(DataError, match="class weights"):
                create("loss", name, weight=weight)(z, torch.tensor([0, 1]))
