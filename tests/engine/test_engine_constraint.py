"""An update that holds rows of a weight, the state it carries, and a stage's weight decay."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from longtail.engine.constraint import MaxNorm
from longtail.engine.optim import optimizer_spec
from longtail.engine.runner import RunConfig, fit
from longtail.engine.stage import Recipe, Stage
from longtail.engine.train import Saver, restore_stage, stage_state
from longtail.errors import ConfigError, LongtailError, UnknownNameError
from longtail.functional.calibration import norm_threshold
from longtail.registry import part
from longtail.testing.toy import first_batch, toy_data, toy_stage

HELD = Recipe((Stage(1, update=part("max_norm"), optimizer=part("sgd", lr=5.0)),))


def lengths(built: Any) -> torch.Tensor:
    return built.ctx.model.head.weight.detach().norm(dim=1)


def step(built: Any) -> None:
    for group in built.ctx.optimizers["model"].param_groups:
        group["lr"] = 5.0
    built.objective.step(built.ctx, first_batch(built))


def test_rows_are_cut_after_every_step_and_the_bias_is_free() -> None:
    held, free = toy_stage(HELD), toy_stage(Recipe((Stage(1, optimizer=part("sgd", lr=5.0)),)))
    t = norm_threshold(held.ctx.model.head.weight, 0.1)
    step(held), step(free)
    assert float(lengths(free).max()) > float(t)
    assert float(lengths(held).max()) <= float(t) * (1 + 1e-6)
    scale = (t / lengths(free)).clamp_max(1)[:, None]
    torch.testing.assert_close(held.ctx.model.head.weight, free.ctx.model.head.weight * scale)
    torch.testing.assert_close(held.ctx.model.head.bias, free.ctx.model.head.bias)


def test_the_averaged_copy_sees_rows_that_were_cut() -> None:
    stage = dataclasses.replace(HELD.stages[0], ema=0.5)
    built = toy_stage(Recipe((stage,)))
    t = built.ctx.update.threshold
    start = built.average.model.head.weight.detach().clone()
    step(built)
    share = 1 - 2 / 11  # the decay of the first step
    wanted = start.lerp(built.ctx.model.head.weight.detach(), share)
    torch.testing.assert_close(built.average.model.head.weight.detach(), wanted)
    assert float(lengths(built).max()) <= float(t) * (1 + 1e-6)


def test_the_threshold_is_that_of_the_beginning_and_travels_with_the_state() -> None:
    built = toy_stage(HELD)
    t = built.ctx.update.threshold.clone()
    step(built)
    assert torch.equal(built.ctx.update.threshold, t)
    kept = {k: v.clone() for k, v in stage_state(built, None).items()}
    assert torch.equal(kept["update/threshold"], t)
    other = toy_stage(HELD, seed=1)
    assert not torch.equal(other.ctx.update.threshold, t)
    restore_stage(other, kept)
    assert torch.equal(other.ctx.update.threshold, t)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"share": -0.1}, r"\[0, 1\]"),
        ({"share": 1.5}, r"\[0, 1\]"),
        ({"share": math.nan}, r"\[0, 1\]"),
    ],
)
def test_shares_out_of_range(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        MaxNorm(**options)


def test_what_cannot_be_held_is_named() -> None:
    def build(**options: Any) -> Any:
        return toy_stage(Recipe((Stage(1, update=part("max_norm", **options)),)))

    with pytest.raises(UnknownNameError, match=r"head\.weight"):
        build(path="head.wieght")
    with pytest.raises(ConfigError, match="no rows"):
        build(path="head.bias")


def test_rows_of_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    """One zero row takes part as the shortest; a threshold of zero is refused."""
    from longtail.models import LinearHead

    reset = LinearHead.reset_parameters

    def first_row_zero(self: LinearHead) -> None:
        reset(self)
        with torch.no_grad():
            self.weight[0] = 0

    monkeypatch.setattr(LinearHead, "reset_parameters", first_row_zero)
    built = toy_stage(HELD)
    torch.testing.assert_close(built.ctx.update.threshold, 0.1 * lengths(built).max())
    step(built)
    assert torch.isfinite(built.ctx.model.head.weight).all()
    with pytest.raises(ConfigError, match=r"shortest row of head\.weight is zero") as caught:
        toy_stage(Recipe((Stage(1, update=part("max_norm", share=0.0)),)))
    assert len(str(caught.value).splitlines()) == 2


class Stopped(Exception):
    """The run ends here."""


def test_a_run_stopped_half_way_ends_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, assert_same_run: Callable[[Path, Path], None]
) -> None:
    """Stopped in the middle of the held stage, when rows have been cut already."""
    config = RunConfig(
        recipe="weight_balancing", set=("stages.1.epochs=100.0",), epochs=3, progress=False,
        device="cpu", checkpoint_seconds=0.0,
    )  # fmt: skip
    data = dataclasses.replace(toy_data(), test=None)
    fit(dataclasses.replace(config, output=tmp_path / "whole"), dataset=data)
    saved = Saver.on_epoch

    def on_epoch(self: Saver, stage: Any, now: int, tally: Any) -> None:
        saved(self, stage, now, tally)
        if (stage.number, now) == (1, 0):
            raise Stopped

    monkeypatch.setattr(Saver, "on_epoch", on_epoch)
    with pytest.raises(Stopped):
        fit(dataclasses.replace(config, output=tmp_path / "cut"), dataset=data)
    monkeypatch.setattr(Saver, "on_epoch", saved)
    assert (tmp_path / "cut" / "checkpoints" / "latest.safetensors").is_file()
    fit(dataclasses.replace(config, output=tmp_path / "cut", resume=True), dataset=data)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_decay_is_a_factor_on_the_usual_one() -> None:
    sgd = optimizer_spec(None, {"optimizer": "sgd"}, lr=0.1, weight_decay=2e-4, decay=25.0)
    assert sgd.kwargs["weight_decay"] == pytest.approx(5e-3)
    adamw = {"optimizer": "adamw", "weight_decay": "1e-2"}
    spec = optimizer_spec(None, adamw, lr=0.1, weight_decay=2e-4, decay=25.0)
    assert spec.kwargs["weight_decay"] == pytest.approx(0.25)
    own = part("sgd", weight_decay=0.01)
    spec = optimizer_spec(own, adamw, lr=0.1, weight_decay=2e-4, decay=3.0)
    assert spec.kwargs == {"lr": 0.1, "weight_decay": pytest.approx(0.03)}
    assert optimizer_spec(part("adamw"), adamw, lr=0.1, weight_decay=1, decay=0.0).kwargs == {
        "lr": 0.1, "weight_decay": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("setting", ["decay=-1.0", "decay=.inf", "decay=.nan"])
def test_a_decay_that_is_no_factor(setting: str) -> None:
    with pytest.raises(LongtailError, match="decay"):
        fit(RunConfig(recipe="ce", set=(setting,), epochs=1, progress=False), dataset=toy_data())


def test_a_decay_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="no weight decay") as caught:
        optimizer_spec(part("sgd"), {}, lr=0.1, weight_decay=1e-4, decay=2.0)
    assert len(str(caught.value).splitlines()) == 2
