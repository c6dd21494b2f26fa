"""What the sampling schemes compute in their stages, against formulas written in NumPy."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax, softmax
from torch import Tensor

from longtail.engine.build import stage_prior
from longtail.engine.runner import RunConfig, fit
from longtail.engine.stage import make_recipe
from longtail.errors import ConfigError, LongtailError
from longtail.functional.noise import spread
from longtail.registry import get, part
from longtail.testing.toy import TOY_COUNTS, first_batch, toy_data, toy_stage, toy_state

Array = Any
N = np.array(TOY_COUNTS, float)


def stage(name: str, number: int = 0, **options: Any) -> Any:
    return toy_stage(make_recipe(get("recipes", name), **options), number)


def array(x: Tensor) -> Array:
    return x.detach().double().numpy()


def rows_of(z: Array, y: Array) -> Array:
    return -log_softmax(z, axis=1)[np.arange(len(y)), y]


def unit(h: Array) -> Array:
    return h / np.linalg.norm(h, axis=1, keepdims=True)


# -- bilateral ---------------------------------------------------------------------------------


@pytest.mark.parametrize("uniform", ["classes", "rows"])
def test_bilateral(uniform: str) -> None:
    built = stage("bilateral", uniform=uniform)
    reverse = (1 / N) / (1 / N).sum()
    first = np.full(4, 0.25) if uniform == "classes" else N / N.sum()
    sampler = built.feed.main.sampler
    np.testing.assert_allclose(sampler.class_marginal(0.5), (first + reverse) / 2, rtol=1e-9)
    y = built.ctx.data.labels
    drawn = torch.stack([y[built.feed.plan(e).orders[""]] for e in range(60)])
    assert drawn.shape[1] == sampler.size
    back = drawn.flatten()[sampler.is_reversed(np.arange(drawn.numel()))]
    np.testing.assert_allclose(np.bincount(back, minlength=4) / len(back), reverse, atol=0.05)
    batch = first_batch(built)
    z = array(built.ctx.model(batch.views[0]).logits)
    total = float(built.objective.terms(built.ctx, batch).total.detach())
    np.testing.assert_allclose(total, rows_of(z, array(batch.target).astype(int)).mean(), rtol=2e-5)


def test_bilateral_says_which_prior_it_answers_to() -> None:
    recipe = make_recipe(get("recipes", "bilateral"))
    built = toy_stage(recipe)
    got = stage_prior(toy_state(recipe), recipe.stages[0], built)
    reverse = (1 / N) / (1 / N).sum()
    np.testing.assert_allclose(got, (0.25 + reverse) / 2, rtol=1e-9)
    config = RunConfig(
        recipe="bilateral", set=("loss=balanced_softmax",), device="cpu", progress=False
    )
    with pytest.raises(ConfigError, match="both correct the class prior"):
        fit(config, dataset=toy_data())


# -- quintuplet --------------------------------------------------------------------------------


def clustered_stage(**options: Any) -> Any:
    built = stage("quintuplet", size=4, **options)
    built.ctx.progress.set(0, 0)
    built.objective.refresh(built.ctx)
    return built


def test_quintuplet() -> None:
    built = clustered_stage()
    batch = first_batch(built)
    model, y = built.ctx.model, batch.target.numpy()
    roles = ("near", "other", "far", "rival")
    outputs = model(torch.cat([batch.views[0], *(batch.extra[r].views[0] for r in roles)]))
    h = unit(array(outputs.features)).reshape(5, len(y), -1)
    d = [((h[0] - h[r]) ** 2).sum(1) for r in range(1, 5)]
    split = np.isin(y, [0, 1])  # 20 and 9 rows make two clusters of four and more, 5 and 2 do not
    hinges = np.maximum(0, 0.2 + np.where(split, d[2], d[0]) - d[3])
    inner = np.maximum(0, 0.1 + d[0] - d[1]) + np.maximum(0, 0.1 + d[1] - d[2])
    expected = rows_of(array(outputs.logits)[: len(y)], y).mean()
    expected += (hinges + np.where(split, inner, 0)).mean()
    total = float(built.objective.terms(built.ctx, batch).total.detach())
    np.testing.assert_allclose(total, expected, rtol=1e-4)


def test_quintuplet_batches_hold_every_anchors_quintuplet() -> None:
    built = clustered_stage()
    table, labels = built.objective.partners, built.ctx.data.labels
    plan = built.feed.plan(0)
    for batch in built.feed.batches(plan):
        for role, name in enumerate(("near", "other", "far", "rival")):
            other = batch.extra[name]
            assert torch.equal(other.index, table[batch.index, role]), name
            assert torch.equal(other.target, labels[other.index])
            same = other.target == batch.target
            assert not same.any() if name == "rival" else same.all()
    np.testing.assert_allclose(built.feed.main.sampler.class_marginal(0.5), np.full(4, 0.25))


def test_quintuplet_partners_are_those_of_the_network_in_eval_mode() -> None:
    built = clustered_stage()
    model = built.ctx.model.eval()
    with torch.no_grad():
        h = unit(array(model(built.ctx.data.rows(torch.arange(36))).features))
    y = built.ctx.data.labels.numpy()
    d = ((h[:, None] - h) ** 2).sum(2)
    rival = np.where(y[:, None] == y, np.inf, d)
    far = np.where(y[:, None] == y, d, -np.inf)
    rows, split = np.arange(36), built.objective.split.numpy()
    table = built.objective.partners.numpy()
    np.testing.assert_allclose(d[rows, table[:, 3]], rival.min(1), atol=1e-6)
    np.testing.assert_allclose(d[rows, table[:, 2]][split], far.max(1)[split], atol=1e-6)
    np.testing.assert_array_equal(split, np.isin(y, [0, 1]))
    np.testing.assert_array_equal(table[~split, 1], rows[~split])


def test_quintuplet_clusters_anew_every_so_often() -> None:
    built = clustered_stage(every=2)
    first = built.objective.partners.clone()
    with torch.no_grad():
        for p in built.ctx.model.parameters():
            p.add_(torch.linspace(-1, 1, p.numel()).view_as(p))
    built.ctx.progress.set(1, 0)
    built.objective.refresh(built.ctx)
    assert torch.equal(built.objective.partners, first)
    built.ctx.progress.set(2, 0)
    built.objective.refresh(built.ctx)
    assert not torch.equal(built.objective.partners, first)


# -- dynamic curriculum ------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [0, 40, 100, 199])
@pytest.mark.parametrize("schedule", ["linear", "composite"])
def test_dcl(epoch: int, schedule: str) -> None:
    built = stage("dcl", schedule=schedule)
    batch = first_batch(built, epoch)
    t = epoch / 199
    g = 1 - t if schedule == "linear" else 0.5 * np.cos(np.pi * t) + 0.5
    p = N**g / (N**g).sum()
    np.testing.assert_allclose(built.feed.main.sampler.class_marginal(t), p, rtol=1e-6)
    outputs, y = built.ctx.model(batch.views[0]), batch.target.numpy()
    z, h = array(outputs.logits), unit(array(outputs.features))
    sizes = np.bincount(y, minlength=4)
    rarest = min((c for c in range(4) if sizes[c]), key=lambda c: N[c])
    w = (N[y] / N[rarest]) ** g * sizes[rarest] / sizes[y]
    w = np.where(w >= 1, w, array(batch.draws[:, 0]) < w)
    expected = (w * rows_of(z, y)).mean()
    terms, q = [], softmax(z, axis=1)
    for c in (1, 2, 3):  # the rarest that hold at most half of the 36 rows: 9 + 5 + 2
        own, rest = np.flatnonzero(y == c), np.flatnonzero(y != c)
        for a in own[np.argsort(-q[own, c], kind="stable")][:3]:
            mates = own[own != a]
            for m in mates[np.argsort(q[mates, c], kind="stable")][:3]:
                for r in rest[np.argsort(-q[rest, c], kind="stable")][:3]:
                    gap = ((h[a] - h[m]) ** 2).sum() - ((h[a] - h[r]) ** 2).sum()
                    terms.append(max(0.0, 0.2 + gap))
    share = 0.01 + (0.5 * np.cos(np.pi * t) + 0.5 if t < 0.3 else 0.0)
    expected += share * (np.mean(terms) if terms else 0.0)
    total = float(built.objective.terms(built.ctx, batch).total.detach())
    np.testing.assert_allclose(total, expected, rtol=2e-4)


# -- learned class rates -----------------------------------------------------------------------


def second(**options: Any) -> Any:
    """The second stage with plain SGD: Adam hides the size of a gradient."""
    made = make_recipe(get("recipes", "meta_sampler"), **options)
    sgd = part("sgd", lr=0.5, weight_decay=0.0, momentum=0.0, nesterov=False)
    retrain = dataclasses.replace(made.stages[1], optimizer=sgd)
    return toy_stage(dataclasses.replace(made, stages=(made.stages[0], retrain)), 1)


def drawn_rows(built: Any, batch: Any, omega: Array) -> tuple[Array, Array, Array]:
    """Classes, positions and soft rows of a draw, from the plan's numbers."""
    u = array(batch.draws)
    noisy = np.log(N) + np.log(expit(omega)) - np.log(-np.log(array(spread(batch.draws[:, 0], 4))))
    y = noisy.argmax(1)
    labels = built.ctx.data.labels.numpy()
    rows = [np.flatnonzero(labels == c) for c in y]
    place = [
        int((v + w * 2.0**-24) * len(r)) for v, w, r in zip(u[:, 1], u[:, 2], rows, strict=True)
    ]
    return y, np.array([r[i] for r, i in zip(rows, place, strict=True)]), softmax(noisy, axis=1)


@pytest.mark.parametrize("cache", [0, None])
def test_meta_sampler(cache: int | None) -> None:
    """A step against NumPy: rows, virtual head, gradient of the rates by hand, Adam's first step."""
    built = second(cache=cache)
    batch = first_batch(built)
    model, head = built.ctx.model, built.ctx.model.head
    w, b = array(head.weight), array(head.bias)
    y, position, soft = drawn_rows(built, batch, np.zeros(4))
    with torch.no_grad():
        h = array(model(built.ctx.data.rows(torch.from_numpy(position))).features)
        m = array(model(batch.views[0]).features)
    n, lr = len(y), 0.5
    error = softmax(h @ w.T + b + np.log(N / N.sum()), axis=1) - np.eye(4)[y]
    ahead_w, ahead_b = w - lr * error.T @ h / n, b - lr * error.mean(0)
    wrong = softmax(m @ ahead_w.T + ahead_b, axis=1) - np.eye(4)[batch.target.numpy()]
    grad_w, grad_b = wrong.T @ m / n, wrong.mean(0)
    # d meta / d entry_i = -lr/n <grad, d l_i / d head>; d entry_i / d omega = soft (1 - rate)
    pull = -lr / n * ((error @ grad_w * h).sum(1) + error @ grad_b)
    entry = soft[np.arange(n), y]
    slope = entry[:, None] * (np.eye(4)[y] - soft) * 0.5
    gradient = (pull[:, None] * slope).sum(0)
    terms = built.objective.step(built.ctx, batch)
    got = built.objective.rates.omega.grad.double().numpy()
    np.testing.assert_allclose(got, gradient, rtol=1e-3, atol=1e-8)
    np.testing.assert_allclose(
        array(built.objective.rates.omega), -0.01 * np.sign(gradient), atol=1e-4
    )
    loss = rows_of(h @ w.T + b + np.log(N / N.sum()), y).mean()
    np.testing.assert_allclose(float(terms.total.detach()), loss, rtol=1e-5)
    np.testing.assert_array_equal(terms.target, y)
    np.testing.assert_allclose(array(head.weight), w - lr * error.T @ h / n, rtol=1e-4, atol=1e-6)


def test_meta_sampler_learns_to_draw_what_the_balanced_batch_lacks() -> None:
    """A head that is blind to one class: the rate of that class rises over the others'."""
    built = second()
    omega = built.objective.rates.omega
    for epoch in range(20):
        for batch in built.feed.batches(built.feed.plan(epoch)):
            with torch.no_grad():
                built.ctx.model.head.bias.copy_(torch.tensor([0.0, 0.0, -4.0, 0.0]))
            built.objective.step(built.ctx, batch)
    assert int(omega.argmax()) == 2, omega


def test_meta_sampler_keeps_rates_within_bounds() -> None:
    built = second()
    with torch.no_grad():
        built.objective.rates.omega.copy_(torch.tensor([14.999, -15.0, 15.0, 3.0]))
    for batch in built.feed.batches(built.feed.plan(0)):
        built.objective.step(built.ctx, batch)
    assert float(built.objective.rates.omega.detach().abs().max()) <= 15


@pytest.mark.parametrize("trains", ["all", "head,backbone"])
def test_meta_sampler_refuses_a_trained_backbone(trains: str) -> None:
    config = RunConfig(
        recipe="meta_sampler", epochs=2, device="cpu", progress=False,
        set=(f"stages.1.trains={trains}", "cache=null"),
    )  # fmt: skip
    with pytest.raises(ConfigError, match="train the classifier alone") as caught:
        fit(config, dataset=toy_data())
    assert len(str(caught.value).splitlines()) == 2


def test_meta_sampler_leaves_the_frozen_network_as_it_was() -> None:
    built = second(cache=None)
    before = {k: v.clone() for k, v in built.ctx.model.state_dict().items()}
    for batch in built.feed.batches(built.feed.plan(0)):
        built.objective.step(built.ctx, batch)
    after = built.ctx.model.state_dict()
    moved = {k for k, v in before.items() if not torch.equal(v, after[k])}
    assert moved == {"head.weight", "head.bias"}


# -- what does not fit -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "setting"),
    [("quintuplet", "augment=[mixup]"), ("dcl", "augment=[mixup]"),
     ("meta_sampler", "stages.1.augment=[mixup]")],
)  # fmt: skip
def test_mixed_rows_are_refused(recipe: str, setting: str) -> None:
    config = RunConfig(
        recipe=recipe, epochs=2, device="cpu", progress=False,
        set=(setting, *(("cache=null",) if recipe == "meta_sampler" else ())),
    )  # fmt: skip
    with pytest.raises(ConfigError, match="rows of one class each"):
        fit(config, dataset=toy_data())


@pytest.mark.parametrize(
    ("recipe", "number", "setting"),
    [
        ("quintuplet", 0, "size=0"),
        ("quintuplet", 0, "share=-1.0"),
        ("quintuplet", 0, "margins=[0.1, 0.2]"),
        ("quintuplet", 0, "margins=[0.1, 0.0, 0.2]"),
        ("dcl", 0, "schedule=cosine"),
        ("dcl", 0, "left=1.0"),
        ("dcl", 0, "easiest=0"),
        ("meta_sampler", 1, "temperature=0.0"),
        ("meta_sampler", 1, "power=.inf"),
    ],
)
def test_values_out_of_range_are_two_lines(recipe: str, number: int, setting: str) -> None:
    config = RunConfig(
        recipe=recipe, epochs=2, device="cpu", progress=False,
        set=(f"stages.{number}.objective.{setting}",),
    )  # fmt: skip
    with pytest.raises(LongtailError) as caught:
        fit(config, dataset=toy_data())
    assert len(str(caught.value).splitlines()) == 2


# -- what cannot stand together ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["ldam_drw", "influence_balanced", "cb"])
def test_weights_and_a_balancing_sampler_are_refused_for_any_loss(name: str) -> None:
    """Also where no formula gives the prior that the loss answers to."""
    base = ("base=sigmoid",) if name == "cb" else ()
    config = RunConfig(
        recipe=name, set=(*base, "sampler=class_balanced"), device="cpu", progress=False
    )
    with pytest.raises(ConfigError, match="both correct the class prior"):
        fit(config, dataset=toy_data())


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("loss=la", "has a loss of its own"),
        ("loss=cross_entropy(weight=inverse_frequency)", "has a loss of its own"),
        ("augment=mixup", "needs rows of one class"),
        ("hidden=0", "hidden must be at least 1"),
    ],
)
def test_what_meta_weights_do_not_read_is_refused(setting: str, said: str) -> None:
    config = RunConfig(recipe="meta_weight_net", set=(setting,), device="cpu", progress=False)
    with pytest.raises(ConfigError, match=said):
        fit(config, dataset=toy_data())


@pytest.mark.parametrize(
    ("name", "options"), [("cb", {"base": "sigmoid"}), ("focal", {"form": "sigmoid"})]
)
def test_one_vs_rest_begins_with_the_answer_one_in_c(name: str, options: dict[str, Any]) -> None:
    """Bias ``-log((1 - p) / p)`` with ``p = 1/C``, and no weight decay on it."""
    built = stage(name, **options)
    bias = built.ctx.model.head.bias
    np.testing.assert_allclose(array(bias), -np.log(3.0), rtol=1e-6)
    groups = built.ctx.optimizers["model"].param_groups
    free = [g for g in groups if any(p is bias for p in g["params"])]
    assert [(len(g["params"]), g["weight_decay"]) for g in free] == [(1, 0.0)]
    assert groups[0]["weight_decay"] > 0
    assert groups[0]["base"] == free[0]["base"]
