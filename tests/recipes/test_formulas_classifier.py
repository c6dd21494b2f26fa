"""What the trained classifiers answer, against formulas written in NumPy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from longtail.engine.runner import RunConfig, fit
from longtail.engine.stage import make_recipe
from longtail.errors import ConfigError
from longtail.registry import get
from longtail.testing.toy import TOY_COUNTS, first_batch, toy_data, toy_stage

N = np.array(TOY_COUNTS, float)


def array(x: torch.Tensor) -> Any:
    return x.detach().double().numpy()


def rows(split: str) -> torch.Tensor:
    data = getattr(toy_data(), split)
    return data.store.fetch(torch.arange(len(data.labels)))


def labels(split: str) -> Any:
    return getattr(toy_data(), split).labels.numpy()


def unit(x: Any) -> Any:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def loss_of(name: str, **options: Any) -> tuple[float, Any, Any]:
    """The loss of the first batch, its features and its labels."""
    built = toy_stage(make_recipe(get("recipes", name), **options))
    batch = first_batch(built)
    outputs = built.ctx.model(batch.views[0])
    total = built.objective.terms(built.ctx, batch).total.detach()
    return float(total), outputs, batch.target.numpy()


def ce(z: Any, y: Any) -> float:
    return float(-log_softmax(z, axis=1)[np.arange(len(y)), y].mean())


@pytest.mark.parametrize("squash", [False, True])
def test_cosine(squash: bool, on_toy: Callable[..., Any]) -> None:
    found = on_toy("cosine", *(["squash=true"] if squash else []))
    outputs = found.run.outputs(rows("test"))
    h, w = array(outputs.features), array(found.run.network.head.weight)
    z = 16 * unit(h) @ unit(w).T
    if squash:
        length = np.linalg.norm(h, axis=1, keepdims=True)
        z = z * length / (1 + length)
    np.testing.assert_allclose(array(found.logits), z, atol=1e-4)
    total, outputs, y = loss_of("cosine", squash=squash)
    np.testing.assert_allclose(total, ce(array(outputs.logits), y), rtol=2e-5)


def test_lws(on_toy: Callable[..., Any]) -> None:
    found = on_toy("lws")
    head = found.run.network.head
    h, f = array(found.run.outputs(rows("test")).features), array(head.scales)
    z = f * (h @ array(head.weight).T + array(head.bias))
    np.testing.assert_allclose(array(found.logits), z, atol=1e-4)
    assert np.abs(f - 1).max() > 1e-3, "the scales are trained with the network"
    assert not torch.equal(head.weight, on_toy("ce").run.network.head.weight)
    assert found.run.effective is None, "no formula gives what learned scales answer to"


def test_ncm(on_toy: Callable[..., Any]) -> None:
    found = on_toy("ncm")
    x = array(found.run.outputs(rows("train")).features)
    h = array(found.run.outputs(rows("test")).features)
    y, centre = labels("train"), x.mean(0)
    means = np.stack([unit(x - centre)[y == c].mean(0) for c in range(4)])
    z = -((unit(h - centre)[:, None] - means) ** 2).sum(2)
    np.testing.assert_allclose(array(found.logits), z, atol=1e-5)
    plain = on_toy("ncm", "head=linear", "finish=[]").run.network.state_dict()
    fitted = found.run.network.state_dict()
    assert all(torch.equal(fitted[name], value) for name, value in plain.items())
    assert fitted["head.fitted"]
    assert found.run.effective is None


def test_tde(on_toy: Callable[..., Any]) -> None:
    found = on_toy("tde")
    head = found.run.network.head
    h, w, d = (
        array(v) for v in (found.run.outputs(rows("test")).features, head.weight, head.direction)
    )
    z = 0
    for part in np.split(np.arange(h.shape[1]), 2):
        x, v, u = unit(h[:, part]), w[:, part], unit(d[part])
        x = x - 1.5 * (x @ u)[:, None] * u
        z = z + 8 * x @ (v / (np.linalg.norm(v, axis=1, keepdims=True) + 1 / 32)).T
    np.testing.assert_allclose(array(found.logits), z, atol=1e-4)
    assert found.run.effective is None


@pytest.mark.parametrize("by_rate", [False, True])
def test_the_direction_follows_the_steps(by_rate: bool) -> None:
    built = toy_stage(make_recipe(get("recipes", "tde"), by_rate=by_rate))
    for group in built.ctx.optimizers["model"].param_groups:
        group["lr"] = 0.004
    keep = 1 - 0.1 * (0.2 if by_rate else 1)
    direction = np.zeros(built.ctx.model.features)
    for batch in built.feed.batches(built.feed.plan(0)):
        with torch.no_grad():
            h = array(built.ctx.model(batch.views[0]).features)
        built.objective.step(built.ctx, batch)
        direction = keep * direction + h.mean(0)
        np.testing.assert_allclose(
            array(built.ctx.model.head.direction), direction, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("cut", [2, 3])
def test_the_direction_is_that_of_the_whole_step(cut: int) -> None:
    """However the batch is cut: one step of the direction, by the mean of all its rows."""
    built = toy_stage(make_recipe(get("recipes", "tde")))
    built.ctx.update.accumulate = cut
    for module in built.ctx.model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()  # its statistics are those of a micro-batch
    batch = first_batch(built)
    with torch.no_grad():
        h = array(built.ctx.model(batch.views[0]).features)
    built.objective.step(built.ctx, batch)
    np.testing.assert_allclose(
        array(built.ctx.model.head.direction), h.mean(0), rtol=1e-4, atol=1e-5
    )


def test_a_step_not_taken_leaves_the_direction() -> None:
    built = toy_stage(make_recipe(get("recipes", "tde")))
    batches = list(built.feed.batches(built.feed.plan(0)))
    built.objective.terms(built.ctx, batches[0])  # as if its step had been skipped
    with torch.no_grad():
        h = array(built.ctx.model(batches[1].views[0]).features)
    built.objective.step(built.ctx, batches[1])
    got = array(built.ctx.model.head.direction)
    np.testing.assert_allclose(got, h.mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("lengths", ["none", "counts", "batch"])
def test_etf(normalise: bool, lengths: str, on_toy: Callable[..., Any]) -> None:
    total, outputs, y = loss_of("etf", normalise=normalise, lengths=lengths, reg=0.01)
    h, scale = array(outputs.features), 8 if normalise else 1
    length = np.linalg.norm(h, axis=1)
    assert np.allclose(length, 1, atol=1e-5) == normalise
    dots = array(outputs.logits)[np.arange(len(y)), y] / scale
    there = np.bincount(y, minlength=4)
    own = {
        "none": np.ones(4),
        "counts": N.mean() / N,
        "batch": len(y) / (there > 0).sum() / np.maximum(there, 1),
    }[lengths]
    wanted = (own[y] * (dots - length) ** 2 / (2 * length) + 0.01 * length).mean()
    np.testing.assert_allclose(total, wanted, rtol=2e-5)
    found = on_toy("etf", f"normalise={normalise}".lower())
    network = found.run.network
    z = scale * array(found.run.outputs(rows("test")).features) @ array(network.head.weight).T
    np.testing.assert_allclose(array(found.logits), z, atol=1e-4)
    start = toy_stage(make_recipe(get("recipes", "etf"))).ctx.model.head.weight
    assert torch.equal(network.head.weight, start), "the directions are fixed"


def test_generative_head(on_toy: Callable[..., Any]) -> None:
    found = on_toy("generative_head", "rho=0.3")
    x = array(found.run.outputs(rows("train")).features)
    h = array(found.run.outputs(rows("test")).features)
    y = labels("train")
    means = np.stack([x[y == c].mean(0) for c in range(4)])
    spread = np.mean([np.cov(x[y == c].T) for c in range(4)], 0)
    d = x.shape[1]
    s = 0.7 * spread + 0.3 * np.trace(spread) / d * np.eye(d)
    planes = np.linalg.solve(s, means.T)
    z = h @ planes - 0.5 * np.einsum("cd,dc->c", means, planes)
    got = array(found.logits)
    np.testing.assert_allclose(got - got[:, :1], z - z[:, :1], rtol=1e-3, atol=1e-3)
    assert found.run.effective is None


def test_the_other_generative_heads(on_toy: Callable[..., Any]) -> None:
    gaussian = on_toy("generative_head", "kind=gaussian_proto").run
    head = gaussian.network.head
    assert head.tail.tolist() == [False, False, False, True]
    np.testing.assert_allclose(gaussian.effective, N / N.sum())
    h = array(gaussian.outputs(rows("test")).features)
    widths = array(head.widths) / h.shape[1] ** 0.5
    assert np.abs(widths).max() > 1e-4
    widths[head.tail.numpy()] = widths[head.tail.numpy()].mean()
    z = -((h[:, None] - array(head.weight)) ** 2).sum(2) / (2 * np.exp(2 * widths))
    wanted = array(on_toy("generative_head", "kind=gaussian_proto").logits)
    np.testing.assert_allclose(wanted, z, rtol=1e-3, atol=1e-3)
    vmf = on_toy("generative_head", "kind=vmf").run
    np.testing.assert_allclose(vmf.effective, 0.25)
    total, outputs, y = loss_of("generative_head", kind="vmf")
    np.testing.assert_allclose(total, ce(array(outputs.logits) + np.log(N), y), rtol=2e-5)
    with pytest.raises(ConfigError, match="kind=lda"):
        make_recipe(get("recipes", "generative_head"), kind="vmf", rho=0.3)


def run(recipe: str, *settings: str, validation: bool = True, **options: Any) -> Any:
    data = toy_data()
    if not validation:
        data = dataclasses.replace(data, validation=None)
    config = RunConfig(
        recipe=recipe,
        set=settings,
        epochs=2,
        batch_size=18,
        device="cpu",
        progress=False,
        **options,
    )
    return fit(config, dataset=data)


def test_alpha_is_chosen_on_validation_rows() -> None:
    """The chosen alpha is the best, or the default where that is as good."""
    made = run("tde", "alpha=null")
    head = made.network.head
    chosen = head.choice()
    notes = " ".join(made.metrics["notes"])
    assert f"{chosen}" in notes
    assert "chosen on validation" in notes
    x, y = rows("validation"), labels("validation")
    recalls = {}
    for alpha in (chosen, 1.5, 0.0, 4.0):
        head.use(alpha)
        hits = made.predict_logits(x).argmax(1).numpy() == y
        recalls[alpha] = np.mean([hits[y == c].mean() for c in range(4)])
    assert recalls[chosen] == max(recalls.values())
    alone = run("tde", "alpha=null", validation=False)
    assert alone.network.head.choice() == 1.5
    assert "no validation data" in " ".join(alone.metrics["notes"])


def test_a_normalisation_is_chosen_and_read_back(tmp_path: Any) -> None:
    from longtail.engine.reading import load_run

    made = run(
        "ncm", "head=ncm(normalise=None)", "finish=[fit_head(), choose_head()]",
        output=tmp_path / "run",
    )  # fmt: skip
    again = load_run(tmp_path / "run")
    assert again.network.head.choice() == made.network.head.choice()
    assert torch.equal(again.predict_logits(rows("test")), made.predict_logits(rows("test")))


@pytest.mark.parametrize(
    ("recipe", "setting", "message"),
    [
        ("ncm", "head=linear", "fit_head"),
        ("ncm", "network=experts", "one classifier"),
        ("ncm", "finish=[choose_head()]", "nothing to choose"),
        ("tde", "head=linear", "moving statistics"),
        ("tde", "heads=7", "7 chunks"),
        ("tau_norm", "head=cosine", "no linear function"),
        ("tau_norm", "head=etf", "no linear function"),
        ("hfl", "adjusters=[tau_norm()]", "no linear function"),
        ("rtc", "adjusters=[tau_norm()]", "no linear function"),
        ("etf", "head=linear", "scale 8"),
        ("etf", "head=etf(scale=4.0)", "scale 8"),
        ("cosine", "loss=ldam(scale=30.0)", "scale 30"),
        ("lws", "loss=ldam()", "no cosine scale"),
        ("ce", "before=[bind_head()]", "no class counts"),
        ("ce", "head=ncm()", "without fit_head"),
        ("ce", "head=tde(heads=1)", "without moving_head"),
        ("ce", "head=gaussian_proto(means=moving, tie=none)", "without moving_head"),
        ("ce", "head=gaussian_proto(tie=tail)", "without bind_head"),
        ("ce", "head=constellation()", "without constellation"),
        ("ce", "head=taxonomic()", "without plant_taxonomy or taxonomic"),
        ("rtc", "stages.1.loss=balanced_softmax", "BalancedSoftmax .* unused"),
        ("rtc", "stages.1.loss=cross_entropy(label_smoothing=0.1)", "smoothing unused"),
        ("paco", "loss=balanced_softmax", "BalancedSoftmax .* unused"),
        ("tde", "head=tde(heads=2.0)", "heads must be a whole number"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(
    recipe: str, setting: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from longtail.engine import train

    def stepped(*_: Any, **__: Any) -> None:
        raise AssertionError("training began")

    monkeypatch.setattr(train, "run_stage", stepped)
    with pytest.raises(ConfigError, match=message) as caught:
        run(recipe, setting)
    assert len(str(caught.value).splitlines()) == 2


def test_tau_reads_the_scaled_weights() -> None:
    made = run("tau_norm", "head=lws")
    head = made.network.head
    w = array(head.scales)[:, None] * array(head.weight)
    h = array(made.outputs(rows("test")).features)
    np.testing.assert_allclose(array(made.predict_logits(rows("test"))), h @ unit(w).T, atol=1e-4)
