"""Steps of stateful losses, and what is measured once an epoch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from longtail.engine.ranks import Ranks
from longtail.engine.runner import RunConfig, fit
from longtail.engine.stage import Recipe, Stage
from longtail.engine.update import Plain
from longtail.errors import ConfigError
from longtail.functional import difficulty_weights, inverse_frequency, permutation, uniforms
from longtail.functional.noise import spread
from longtail.losses import Difficulty, EqualizedV2
from longtail.objectives import MeasuredUncertainty
from longtail.registry import part
from longtail.testing.toy import toy_stage
from longtail.types import Batch, Terms

# -- steps -----------------------------------------------------------------------------------------


def stepped(
    *, accumulate: int = 1, scaler: Any = None
) -> tuple[Any, Plain, nn.Linear, EqualizedV2]:
    """A context, an update, a model and a stateful loss, as the engine puts them together."""
    with torch.random.fork_rng(devices=[]):
        model = nn.Linear(3, 4).double()
    with torch.no_grad():
        model.weight.copy_(torch.linspace(-1, 1, 12).reshape(4, 3))
        model.bias.zero_()
    loss = EqualizedV2(class_counts=[8, 4, 2, 1]).defer()
    parameters = list(model.parameters())
    update = Plain()
    update.equip(
        optimizer=torch.optim.SGD(parameters, lr=0.1),
        parameters=parameters,
        ranks=Ranks(),
        accumulate=accumulate,
        scaler=scaler,
    )

    class Now:
        autocast = None

    Now.loss = loss  # type: ignore[attr-defined]
    return Now(), update, model, loss


def batch_of(rows: int = 10) -> Batch:
    x = torch.sin(torch.arange(3.0 * rows).reshape(rows, 3)).double()
    return Batch((x,), torch.arange(rows) % 4, torch.arange(rows))


def asks(model: nn.Linear, factor: float = 1.0) -> Any:
    def closure(ctx: Any, batch: Batch) -> Terms:
        top, rows = ctx.loss.sums(model(batch.views[0]), batch.target)
        return Terms(factor * top / rows, rows.detach())

    return closure


def test_micro_batches_fold_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """All micro-batches see the state that the step began with."""
    calls = []
    fold = EqualizedV2.fold
    monkeypatch.setattr(
        EqualizedV2, "fold", lambda self, found: (calls.append(1), fold(self, found))
    )
    found = []
    for accumulate in (1, 2, 3):
        ctx, update, model, loss = stepped(accumulate=accumulate)
        for _ in range(4):
            update(ctx, asks(model), batch_of())
        assert len(calls) == 4
        calls.clear()
        found.append(torch.cat([loss.positive, loss.negative, model.weight.detach().flatten()]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found[2], found[0], rtol=1e-6, atol=1e-6)


def test_a_run_with_micro_batches_folds_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    fold = EqualizedV2.fold
    monkeypatch.setattr(
        EqualizedV2, "fold", lambda self, found: (calls.append(1), fold(self, found))
    )
    run = fit(
        RunConfig("digits-lt", "eqlv2", epochs=1, batch_size=64, accumulate=2, progress=False)
    )
    assert len(calls) == run.metrics["steps"]


def test_a_step_that_overflows_leaves_the_state_alone() -> None:
    """Half precision: the scaler skips the step, and nothing of it is remembered."""
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    ctx, update, model, loss = stepped(scaler=scaler)
    before = model.weight.detach().clone()
    update(ctx, asks(model, math.inf), batch_of())
    assert torch.equal(model.weight, before), "no step was taken"
    assert scaler.get_scale() == 2.0
    assert loss.positive.tolist() == loss.negative.tolist() == [0.0] * 4
    assert not loss._told, "what the skipped step told is forgotten"
    update(ctx, asks(model), batch_of())
    assert not torch.equal(model.weight, before)
    other, plain, twin, alone = stepped()
    plain(other, asks(twin), batch_of())
    torch.testing.assert_close(loss.positive, alone.positive, rtol=1e-12, atol=0)
    torch.testing.assert_close(loss.negative, alone.negative, rtol=1e-12, atol=0)


# -- measuring -------------------------------------------------------------------------------------


def test_every_epoch_but_the_first_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under an objective of another method too: class weights are a field of any loss."""
    seen = []
    observe = Difficulty.observe

    def watching(self: Difficulty, accuracy: Any) -> None:
        seen.append((int(self.progress.epoch), accuracy.clone()))
        observe(self, accuracy)

    monkeypatch.setattr(Difficulty, "observe", watching)
    for recipe, settings in (
        ("cdb", ()),
        ("manifold_mixup", ("stages.0.loss.weight=difficulty(tau=1.0)",)),
    ):
        seen.clear()
        fit(RunConfig("digits-lt", recipe, set=settings, epochs=3, progress=False, validation=0.1))
        assert [epoch for epoch, _ in seen] == [1, 2]
        assert not torch.equal(seen[0][1].nan_to_num(), seen[1][1].nan_to_num())


def test_difficulty_is_the_accuracy_on_validation_rows() -> None:
    weight = part("difficulty", tau=1.0)
    built = toy_stage(Recipe((Stage(4, loss=part("cross_entropy", weight=weight)),)))
    ctx = built.ctx
    ctx.loss.refresh(ctx)
    assert ctx.loss.class_weight().tolist() == [1.0] * 4, "the first epoch is plain"
    ctx.progress.set(1)
    ctx.loss.refresh(ctx)
    y = ctx.validation.labels.numpy()
    said = ctx.model.eval()(ctx.validation.rows(torch.arange(len(y)))).logits.argmax(1).numpy()
    accuracy = torch.tensor([(said[y == c] == c).mean() for c in range(4)])
    assert float(accuracy.max()) > 0
    torch.testing.assert_close(ctx.loss.class_weight(), difficulty_weights(accuracy, 1.0))


def test_difficulty_without_validation_rows_is_refused() -> None:
    settings = ("stages.0.loss.weight=difficulty()",)
    with pytest.raises(ConfigError, match="there are no validation rows") as caught:
        fit(RunConfig("digits-lt", "ce", set=settings, epochs=1, progress=False))
    assert caught.value.do == "cut some: --validation 0.1"


def test_areas_are_those_of_the_training_features() -> None:
    weight = part("effective_area", after=0.5, batch=6)
    built = toy_stage(Recipe((Stage(4, loss=part("cross_entropy", weight=weight)),)))
    ctx = built.ctx
    found = []
    for epoch in range(4):
        ctx.progress.set(epoch)
        ctx.loss.refresh(ctx)
        found.append(ctx.loss.class_weight().clone())
    assert [f.tolist() == [1.0] * 4 for f in found] == [True, True, False, False]
    assert not torch.equal(found[2], found[3]), "batches are cut anew"
    h = ctx.model.eval()(ctx.data.rows(torch.arange(len(ctx.data)))).features.detach().numpy()
    y, area = ctx.data.labels.numpy(), np.zeros(4)
    centred = h - np.stack([h[y == c].mean(0) for c in range(4)])[y]
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    order = permutation(ctx.seed, "area", 3, n=len(y))
    for rows in np.array_split(order, 9):  # batches of four: an eighth of 36 rows
        for c in np.unique(y[rows]):
            u = unit[rows[y[rows] == c]]
            r = u @ u.T if len(u) > 1 else np.ones((1, 1))
            area[c] += 1 / max(r.mean(), 1 / len(u) ** 2)
    expected = 4 / area / (1 / area).sum()
    np.testing.assert_allclose(found[3], expected, rtol=1e-4)
    by_count = inverse_frequency(ctx.stats.counts)
    assert float((found[3] - by_count).abs().max()) > 0.05, "it says more than the counts"


def test_uncertainty_is_the_variance_over_masks() -> None:
    """Another loop over the same masks; the margins follow, and dropout reaches training."""
    recipe = Recipe(
        (
            Stage(
                4,
                loss=part("uncertainty_margin", margin=0.4, scale=16.0),
                objective=part("measured_uncertainty", dropout=0.3, passes=5),
            ),
        ),
        head=part("cosine", scale=16.0),
    )
    built = toy_stage(recipe)
    ctx, objective = built.ctx, built.objective
    objective.refresh(ctx)
    start = ctx.stats.counts**-0.5
    torch.testing.assert_close(ctx.loss.margins(), 0.4 * start / start.max())
    ctx.progress.set(2)
    objective.refresh(ctx)
    ctx.model.eval()
    h = ctx.model(ctx.data.rows(torch.arange(len(ctx.data)))).features.detach()
    said = []
    for t in range(5):
        keys = torch.from_numpy(uniforms(ctx.seed, "uncertainty", 2, t, n=len(h)))
        mask = (spread(keys, h.shape[1]) >= 0.3).float() / 0.7
        said.append(ctx.model.head(h * mask).softmax(1).detach().double().numpy())
    variance = np.stack(said).var(0).sum(1)
    y = ctx.data.labels.numpy()
    u = np.array([variance[y == c].mean() for c in range(4)])
    np.testing.assert_allclose(ctx.loss.margins(), 0.4 * u / u.max(), rtol=1e-4)
    dropped = objective._dropped(torch.ones(200, 50), torch.rand(200, generator=torch.Generator()))
    assert float((dropped == 0).float().mean()) == pytest.approx(0.3, abs=0.02)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.03)


def test_uncertainty_feeds_no_other_loss() -> None:
    with pytest.raises(ConfigError, match="the loss is CrossEntropy") as caught:
        fit(RunConfig("digits-lt", "ce", set=("objective=measured_uncertainty",), epochs=1, progress=False))  # fmt: skip
    assert len(str(caught.value).splitlines()) == 2
    for settings, said in (
        ({"dropout": 0.0}, "dropout must lie between 0 and 1"),
        ({"dropout": 1.0}, "dropout must lie between 0 and 1"),
        ({"passes": 1}, "1 passes show no variance"),
    ):
        with pytest.raises(ConfigError, match=said):
            MeasuredUncertainty(**settings)
