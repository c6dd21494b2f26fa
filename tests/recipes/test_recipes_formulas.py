"""What the built stages of the recipes compute, against formulas written in NumPy."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import betaincinv, log_softmax, logsumexp
from torch import Tensor
from torch.func import functional_call

from longtail.engine.stage import make_recipe
from longtail.registry import get, instantiate, part
from longtail.testing.toy import TOY_COUNTS, first_batch, toy_stage, toy_state

Array = Any
N = np.array(TOY_COUNTS, float)
PI = N / N.sum()


def stage(name: str, number: int = 0, **options: Any) -> Any:
    return toy_stage(make_recipe(get("recipes", name), **options), number)


def array(x: Tensor) -> Array:
    return x.detach().double().numpy()


def rows_of(z: Array, y: Array) -> Array:
    return -log_softmax(z, axis=1)[np.arange(len(y)), y]


def weighted(z: Array, y: Array, w: Array) -> float:
    return float((w[y] * rows_of(z, y)).sum() / w[y].sum())


def focal(z: Array, y: Array) -> float:
    losses = rows_of(z, y)
    return float(((1 - np.exp(-losses)) ** 2 * losses).mean())


def margined(z: Array, y: Array) -> Array:
    z = z.copy()
    z[np.arange(len(y)), y] -= 30 * 0.5 * (N[y] / N.min()) ** -0.25
    return z


EFFECTIVE = (1 - 0.9999) / (1 - 0.9999**N)

#: id -> (epoch of 200, loss of logits and labels)
LOSSES: dict[str, tuple[int, Callable[[Array, Array], float]]] = {
    "ce": (0, lambda z, y: float(rows_of(z, y).mean())),
    "weighted_ce": (0, lambda z, y: weighted(z, y, 1 / N)),
    "cb": (0, lambda z, y: weighted(z, y, EFFECTIVE)),
    "focal": (0, focal),
    "drw": (159, lambda z, y: float(rows_of(z, y).mean())),
    "drw after the switch": (160, lambda z, y: weighted(z, y, EFFECTIVE)),
    "ldam": (0, lambda z, y: float(rows_of(margined(z, y), y).mean())),
    "ldam_drw": (159, lambda z, y: float(rows_of(margined(z, y), y).mean())),
    "ldam_drw after the switch": (160, lambda z, y: weighted(margined(z, y), y, EFFECTIVE)),
    "balanced_softmax": (0, lambda z, y: float(rows_of(z + np.log(N), y).mean())),
    "la": (0, lambda z, y: float(rows_of(z + np.log(PI), y).mean())),
}


@pytest.mark.parametrize("case", LOSSES)
def test_the_loss_is_its_formula(case: str) -> None:
    epoch, formula = LOSSES[case]
    built = stage(case.split()[0])
    batch = first_batch(built, epoch)
    z = array(built.ctx.model(batch.views[0]).logits)
    total = built.objective.terms(built.ctx, batch).total.detach()
    np.testing.assert_allclose(float(total), formula(z, array(batch.target).astype(int)), rtol=2e-5)


EVEN = np.full(4, 0.25)

#: id -> (stage, fraction, class probabilities)
SAMPLERS: dict[str, tuple[int, float, Array]] = {
    "ce": (0, 0.5, PI),
    "ros": (0, 0.5, EVEN),
    "rus": (0, 0.5, EVEN),
    "class_balanced": (0, 0.5, EVEN),
    "square_root": (0, 0.5, np.sqrt(N) / np.sqrt(N).sum()),
    "progressive": (0, 0.25, 0.75 * PI + 0.25 * EVEN),
    "crt": (1, 0.5, EVEN),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_sampler_is_its_formula(name: str) -> None:
    number, fraction, expected = SAMPLERS[name]
    built = stage(name, number)
    sampler = built.feed.main.sampler
    np.testing.assert_allclose(sampler.class_marginal(fraction), expected, rtol=1e-9)
    epochs = [round(fraction * (built.epochs - 1)) + d for d in range(-4, 5)]
    drawn = torch.cat([built.feed.plan(max(0, e)).orders[""] for e in epochs])
    shares = np.bincount(built.ctx.data.labels[drawn], minlength=4) / len(drawn)
    np.testing.assert_allclose(shares, expected, atol=0.12)


def mixed_loss(z: Array, y: Array, partner: Array, lam: float) -> float:
    return float((lam * rows_of(z, y) + (1 - lam) * rows_of(z, y[partner])).mean())


def test_mixup() -> None:
    built, plain = stage("mixup"), stage("ce")
    batch, before = first_batch(built), first_batch(plain)
    plan = built.feed.plan(0)
    lam = float(betaincinv(1.0, 1.0, float(plan.step_table[0][0])))
    partner = array(plan.tables["mix0"][: len(batch), 0]).argsort(kind="stable")
    x = array(before.views[0])
    np.testing.assert_allclose(
        array(batch.views[0]), lam * x + (1 - lam) * x[partner], rtol=1e-5, atol=1e-6
    )
    z = array(built.ctx.model(batch.views[0]).logits)
    total = float(built.objective.terms(built.ctx, batch).total.detach())
    expected = mixed_loss(z, before.target.numpy(), partner, lam)
    np.testing.assert_allclose(total, expected, rtol=2e-5)


@pytest.mark.parametrize("cut", ["layer1", "pool"])
def test_manifold_mixup(cut: str) -> None:
    built = stage("manifold_mixup", cut=cut)
    batch = first_batch(built)
    model = built.ctx.model
    lam = float(betaincinv(1.0, 1.0, float(batch.step_draws[0])))
    partner = array(batch.draws[:, 0]).argsort(kind="stable")
    h = model.forward_to(batch.views[0], cut)
    h = torch.from_numpy(lam * array(h) + (1 - lam) * array(h)[partner]).float()
    z = array(model.forward_from(h, cut).logits)
    total = float(built.objective.terms(built.ctx, batch).total.detach())
    np.testing.assert_allclose(total, mixed_loss(z, batch.target.numpy(), partner, lam), rtol=1e-4)


@pytest.mark.parametrize("epoch", [0, 100, 199])
def test_bbn(epoch: int) -> None:
    built = stage("bbn")
    batch = first_batch(built, epoch)
    other, model = batch.extra["reverse"], built.ctx.model
    a = 1 - (epoch / 200) ** 2
    first = array(model.backbone(model.normalise(batch.views[0])))[0]
    second = array(model.backbone(model.normalise(other.views[0])))[1]
    features = np.concatenate([2 * a * first, 2 * (1 - a) * second], 1)
    z = features @ array(model.head.weight).T + array(model.head.bias)
    expected = a * rows_of(z, batch.target.numpy()).mean()
    expected += (1 - a) * rows_of(z, other.target.numpy()).mean()
    total = float(built.objective.terms(built.ctx, batch).total.detach())
    np.testing.assert_allclose(total, expected, rtol=1e-4)
    reverse = built.feed.streams["reverse"].sampler.class_marginal(0.5)
    np.testing.assert_allclose(reverse, (1 / N) / (1 / N).sum(), rtol=1e-9)


def test_sade() -> None:
    built = stage("sade")
    batch = first_batch(built)
    y = batch.target.numpy()
    outputs = built.ctx.model(batch.views[0])
    z = array(outputs.expert_logits)
    mirrored = PI[::-1]  # the toy's counts fall with the class id
    for_each = [0.0, np.log(PI), np.log(PI) - 2 * np.log(mirrored)]
    expected = sum(rows_of(e + a, y).mean() for e, a in zip(z, for_each, strict=True))
    total = float(built.objective.terms(built.ctx, batch).total.detach())
    np.testing.assert_allclose(total, expected, rtol=2e-5)
    np.testing.assert_allclose(array(outputs.logits), z.mean(0), atol=1e-5)


def test_meta_weight_net() -> None:
    built = stage("meta_weight_net")
    batch = first_batch(built)
    assert len(built.ctx.data) < N.sum()
    losses = rows_of(array(built.ctx.model(batch.views[0]).logits), batch.target.numpy())
    one, relu, two, squash = built.objective.weigh
    assert isinstance(relu, torch.nn.ReLU)
    assert isinstance(squash, torch.nn.Sigmoid)
    hidden = np.maximum(losses[:, None] @ array(one.weight).T + array(one.bias), 0)
    v = 1 / (1 + np.exp(-(hidden @ array(two.weight).T + array(two.bias))[:, 0]))
    total = float(built.objective.terms(built.ctx, batch).total.detach())
    np.testing.assert_allclose(total, (v * losses).mean(), rtol=2e-5)


@pytest.mark.parametrize("virtual", ["all", "head"])
@pytest.mark.parametrize(
    ("modality", "backbone"),
    [("image", "small_cnn"), ("image", "resnet18"), ("table", "mlp"), ("text", "hashed_text")],
)
def test_meta_weights_learn_through_a_step(virtual: str, modality: str, backbone: str) -> None:
    """The gradient of the weighing network is that of differentiating the step itself."""
    recipe = make_recipe(get("recipes", "meta_weight_net"), virtual=virtual)
    built = toy_stage(recipe, modality=modality, backbone=backbone)
    batch = first_batch(built)
    meta, net, model = batch.extra["meta"], built.objective, built.ctx.model
    lr = built.ctx.optimizers["model"].param_groups[0]["lr"]
    params, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    moved = {k: p for k, p in params.items() if virtual == "all" or k.startswith("head.")}

    def losses(rows: Any, changed: dict[str, Tensor]) -> Tensor:
        own = {k: b.clone() for k, b in buffers.items()}
        z = functional_call(model, {**params, **changed, **own}, (rows.views[0],)).logits
        return torch.nn.functional.cross_entropy(z, rows.target, reduction="none")

    before = losses(batch, {})
    virtual_loss = (net.weigh(before.detach()[:, None])[:, 0] * before).mean()
    grads = torch.autograd.grad(virtual_loss, list(moved.values()), create_graph=True)
    ahead = {k: p - lr * g for (k, p), g in zip(moved.items(), grads, strict=True)}
    inner = list(net.parameters())
    wanted = torch.autograd.grad(losses(meta, ahead).mean(), inner)
    got = torch.autograd.grad(net._taught(built.ctx, batch, meta), inner)
    scale = max(float(w.abs().max()) for w in wanted)
    assert scale > 0
    for w, g in zip(wanted, got, strict=True):
        torch.testing.assert_close(g, w, rtol=1e-3, atol=1e-4 * scale)


def test_paco() -> None:
    built = stage("paco")
    batch = first_batch(built)
    outputs = built.ctx.model(batch.views[0])

    def unit(x: Tensor) -> Array:
        return array(x) / np.linalg.norm(array(x), axis=1, keepdims=True)

    anchors = unit(outputs.projection)
    keys = unit(built.objective.twin(batch.views[1]).projection)
    bank, y = np.concatenate([anchors, keys]), batch.target.numpy()
    labels = np.concatenate([y, y])
    centres = array(outputs.logits) + np.log(PI)
    expected = []
    for i in range(len(y)):
        others = np.arange(len(bank)) != i
        similar = bank @ anchors[i] / 0.2
        total = logsumexp(np.concatenate([centres[i], similar[others]]))
        mine = others & (labels == y[i])
        top = 1.0 * centres[i, y[i]] + 0.01 * similar[mine].sum()
        expected.append(total - top / (1.0 + 0.01 * mine.sum()))
    got = float(built.objective.terms(built.ctx, batch).total.detach())
    np.testing.assert_allclose(got, np.mean(expected), rtol=1e-4)


def test_la_posthoc(on_toy: Callable[..., Any]) -> None:
    adjusted = on_toy("la_posthoc", "tau=1.0").logits
    expected = array(on_toy("ce").logits) - np.log(PI)
    np.testing.assert_allclose(array(adjusted), expected, atol=1e-5)


def test_tau_norm(on_toy: Callable[..., Any]) -> None:
    run = on_toy("tau_norm").run
    rows = run_inputs()
    features, weight = array(run.outputs(rows).features), array(run.network.head.weight)
    expected = features @ (weight / np.linalg.norm(weight, axis=1, keepdims=True)).T
    np.testing.assert_allclose(array(on_toy("tau_norm").logits), expected, atol=1e-4)
    plain = on_toy("ce").run.network.state_dict()
    assert all(torch.equal(v, plain[k]) for k, v in run.network.state_dict().items())


def run_inputs() -> Tensor:
    from longtail.testing.toy import toy_data

    test = toy_data().test
    assert test is not None
    return test.store.fetch(torch.arange(len(test.labels)))


def test_crt_freezes_what_it_learned(on_toy: Callable[..., Any]) -> None:
    whole = on_toy("crt").run.network.state_dict()
    first = on_toy("ce", epochs=4).run.network.state_dict()
    frozen = [k for k in whole if not k.startswith("head.")]
    assert frozen
    assert all(torch.equal(whole[k], first[k]) for k in frozen), "running statistics too"
    assert not torch.equal(whole["head.weight"], first["head.weight"])


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_pseudo_label(share: float) -> None:
    state = toy_state(make_recipe(get("recipes", "pseudo_label")))
    hidden, rows = state.dataset.unlabelled.store.data, state.start.store
    rows.data = torch.cat([rows.data, hidden])
    first = len(state.start)
    state.unlabelled = first + torch.arange(len(hidden))
    z = array(next(iter(state.outputs(state.data)))[0].logits)
    assert z.shape == (first, 4)
    with torch.no_grad():
        z = array(state.network.eval()(hidden.float() / 255).logits)
    p = np.exp(log_softmax(z, axis=1))
    threshold = float(np.quantile(p.max(1), share)) if share else 0.0
    sure = p.max(1) >= threshold
    assert 0.4 * len(p) < sure.sum() <= (1 - share) * len(p) + 1
    instantiate("handovers", part("pseudo_labels", threshold=threshold))(state)
    np.testing.assert_array_equal(state.data.index[first:], first + np.flatnonzero(sure))
    np.testing.assert_array_equal(state.data.labels[first:], p.argmax(1)[sure])


def test_hfl(on_toy: Callable[..., Any]) -> None:
    run = on_toy("hfl").run
    tree = run.network
    x = run_inputs().float() / 255
    with torch.no_grad():
        root = array(tree.root(x).logits)
        leaves = [array(leaf(x).logits) for leaf in tree.leaves]
    expected = np.full_like(root, -np.inf)
    groups = run.info["structure"]["groups"]
    assert sorted(c for g in groups for c in g) == [0, 1, 2, 3]
    score = np.stack([logsumexp(root[:, g], axis=1) for g in groups], 1)
    path = log_softmax(score, axis=1)
    inner = iter(leaves)
    for number, group in enumerate(groups):
        z = next(inner) if len(group) > 1 else root
        expected[:, group] = path[:, [number]] + log_softmax(z[:, group], axis=1)
    np.testing.assert_allclose(array(on_toy("hfl").logits), expected, atol=1e-4)
    np.testing.assert_allclose(np.exp(expected).sum(1), 1, rtol=1e-6)


def test_every_id_of_the_first_set_has_a_formula() -> None:
    """Here, or as ``test_ID`` in a file ``test_formulas_*.py`` beside this one.

    Later ids have the formulas of their parts tested where the parts are; that a stage builds
    those parts is a check of the contract.
    """
    from tests.recipes.swaps.first import AS_CE

    here = {case.split()[0] for case in (*LOSSES, *SAMPLERS)}
    here |= {
        name.removeprefix("test_").removesuffix("_freezes_what_it_learned")
        for name in globals()
        if name.startswith("test_")
    }
    for path in Path(__file__).parent.glob("test_formulas_*.py"):
        here |= set(re.findall(r"^def test_(\w+)\(", path.read_text("utf-8"), re.MULTILINE))
    assert {"ce", *AS_CE} <= here
