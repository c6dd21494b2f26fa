"""What the stages of decoupled training may touch, and with which rates they do."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from longtail.engine.build import Settings, build_stage
from longtail.engine.optim import set_modes
from longtail.engine.overrides import resolve_recipe
from longtail.engine.runner import RunConfig, fit
from longtail.engine.stage import make_recipe
from longtail.errors import ConfigError, LongtailError
from longtail.functional.calibration import norm_threshold
from longtail.registry import get
from longtail.testing.toy import toy_data, toy_state

#: id -> parameters that its second stage learns
LEARNS: dict[str, set[str]] = {
    "crt": {"head.weight", "head.bias"},
    "decoupled_lws": {"head.scales"},
    "mislas": {"head.weight", "head.bias", "head.scales"},
    "disalign": {"head.alpha", "head.beta", "head.confidence.weight", "head.confidence.bias"},
    "marc": {"head.omega", "head.beta"},
    "weight_balancing": {"head.weight", "head.bias"},
    "los": {"head.weight", "head.bias"},
}


def ends(recipe: str, folder: Path, *settings: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The network as the first and as the second stage left it."""
    config = RunConfig(
        recipe=recipe, set=("stages.1.epochs=100.0", *settings), epochs=4, batch_size=18,
        device="cpu", progress=False, output=folder,
    )  # fmt: skip
    fit(config, dataset=dataclasses.replace(toy_data(), test=None))
    files = [folder / "checkpoints" / f"end-{n}.safetensors" for n in (0, 1)]
    one, two = ({k.removeprefix("network/"): v for k, v in load_file(f).items()} for f in files)
    return one, two


@pytest.mark.parametrize("recipe", LEARNS)
def test_the_second_stage_learns_its_own_and_nothing_else(recipe: str, tmp_path: Path) -> None:
    """Weights and running statistics of all else are the same bits before and after."""
    one, two = ends(recipe, tmp_path / "run")
    moved = {k for k in one if not torch.equal(one[k], two[k])}
    assert moved == LEARNS[recipe]


@pytest.mark.parametrize("recipe", LEARNS)
def test_shifted_statistics_are_the_only_thing_that_moves_besides(
    recipe: str, tmp_path: Path
) -> None:
    one, two = ends(recipe, tmp_path / "run", "bn=update_stats")
    moved = {k for k in one if not torch.equal(one[k], two[k])} - LEARNS[recipe]
    assert moved
    assert all(k.endswith(("running_mean", "running_var", "num_batches_tracked")) for k in moved)


@pytest.mark.parametrize("recipe", ["decoupled_lws", "mislas", "disalign", "marc"])
def test_the_first_stage_leaves_the_correction_at_the_identity(recipe: str, tmp_path: Path) -> None:
    made = make_recipe(get("recipes", recipe))
    state = toy_state(made)
    one, _ = ends(recipe, tmp_path / "run")
    extra = LEARNS[recipe] - {"head.weight", "head.bias"}
    fresh = state.network.state_dict()
    assert all(torch.equal(one[k], fresh[k]) for k in extra)
    assert not torch.equal(one["head.weight"], fresh["head.weight"])


def test_shifted_statistics_recorded_numbers(golden: Any) -> None:
    """The policy ``update_stats``: batch statistics are used and kept, gain and offset are frozen."""
    for case in golden("shifted_bn"):
        given, out = case["inputs"], case["outputs"]
        layer = nn.BatchNorm1d(8, momentum=case["params"]["momentum"]).double()
        state = {k: torch.tensor(v, dtype=torch.float64) for k, v in given.items() if k != "x"}
        layer.load_state_dict({**layer.state_dict(), **state})
        net = nn.Sequential(layer, nn.Linear(8, 2).double())
        layer.requires_grad_(False)
        set_modes(net, "update_stats")
        x = torch.tensor(given["x"], dtype=torch.float64)
        np.testing.assert_allclose(layer(x), out["out"], rtol=1e-6)
        np.testing.assert_allclose(layer.running_mean, out["running_mean"], rtol=1e-6)
        np.testing.assert_allclose(layer.running_var, out["running_var"], rtol=1e-6)
        assert torch.equal(layer.weight, state["weight"])
        set_modes(net, "eval")
        before = layer.running_mean.clone()
        layer(x)
        assert torch.equal(layer.running_mean, before)


def test_rows_of_the_classifier_stay_within_the_bound(tmp_path: Path) -> None:
    one, two = ends("weight_balancing", tmp_path / "run", "head_decay=0.0", "lr=5.0")
    t = norm_threshold(one["head.weight"], 0.1)
    assert float(two["head.weight"].norm(dim=1).max()) <= float(t) * (1 + 1e-6)


def rates(
    recipe: str, number: int, backbone: str, **options: Any
) -> dict[str, tuple[float, float]]:
    """Parameter under the head -> (rate, weight decay) of its group, batches of 64."""
    made = make_recipe(get("recipes", recipe), **options)
    state = toy_state(made)
    state.backbone = backbone
    built = build_stage(state, made.stages[number], number, Settings(batch_size=64))
    names = {id(p): n for n, p in state.network.named_parameters()}
    return {
        names[id(p)]: (group["base"], group["weight_decay"])
        for group in built.ctx.optimizers["model"].param_groups
        for p in group["params"]
        if names[id(p)].startswith("head.")
    }


def test_published_rates_and_decays_under_sgd() -> None:
    """Weight balancing: 0.01 at batches of 64, decay 0.005 and then 0.1; over-smoothing: no decay."""
    for recipe in ("weight_balancing", "los"):
        assert rates(recipe, 0, "resnet32")["head.weight"] == pytest.approx((0.01, 5e-3))
    assert rates("weight_balancing", 1, "resnet32")["head.weight"] == pytest.approx((0.01, 0.1))
    assert rates("los", 1, "resnet32", lr=0.05)["head.weight"] == pytest.approx((5e-4, 0.0))
    smoothed = rates("mislas", 1, "resnet32")
    assert smoothed["head.scales"][0] == pytest.approx(0.05)
    assert smoothed["head.weight"][0] == smoothed["head.bias"][0] == pytest.approx(0.025)


def test_over_smoothing_uses_no_class_counts() -> None:
    """Losses of both stages are the same whatever the counts."""
    for stage in make_recipe(get("recipes", "los")).stages:
        assert stage.sampler.name == "instance"
        assert not stage.loss.inner
        assert set(stage.loss.kwargs) <= {"label_smoothing"}


@pytest.mark.parametrize(
    ("recipe", "setting", "said"),
    [
        ("mislas", "eps_head=0.1,eps_tail=0.3", "tail <= head"),
        ("mislas", "eps_head=1.0", "head < 1"),
        ("mislas", "head_lr=abc", "head_lr"),
        ("los", "smoothing=1.0", r"\[0, 1\)"),
        ("los", "smoothing=-0.5", r"\[0, 1\)"),
        ("weight_balancing", "share=2.0", r"\[0, 1\]"),
        ("weight_balancing", "beta=1.0", r"\[0, 1\)"),
        ("weight_balancing", "decay=-1.0", "decay"),
        ("disalign", "form=papr", "paper"),
        ("disalign", "power=.inf", "finite"),
        ("decoupled_tau", "tau=-1.0", "tau"),
        ("decoupled_ncm", "normalise=l3", "normalisation"),
        ("decoupled_lws", "per_class=0", "k"),
        ("crt", "cache=-1", "cache"),
        ("crt", "cache=8,bn=update_stats", "cache=8 keeps"),
        ("mislas", "cache=0,bn=update_stats", "cache=0 keeps"),
        ("shifted_bn", "cache=0", "cache=0 keeps"),
        ("crt", "cache=never", "null"),
        ("shifted_bn", "cache=8", "cache=8 keeps"),
        (
            "generative_head",
            "kind=foo",
            "no kind of generative head 'foo'\nchoose one of: gaussian_proto, lda, vmf$",
        ),
    ],
)
def test_bad_values_are_refused_before_training(recipe: str, setting: str, said: str) -> None:
    config = RunConfig(recipe=recipe, set=tuple(setting.split(",")), epochs=2, progress=False)
    with pytest.raises(LongtailError, match=said) as caught:
        fit(config, dataset=toy_data())
    assert len(str(caught.value).splitlines()) == 2


def test_weights_and_balanced_sampling_together_are_refused() -> None:
    config = RunConfig(
        recipe="disalign", set=("stages.1.sampler=class_aware",), epochs=2, progress=False
    )
    with pytest.raises(ConfigError, match="both correct the class prior"):
        fit(config, dataset=toy_data())


def test_an_alias_stands_for_its_policy() -> None:
    assert resolve_recipe("shifted_bn").stages[1].bn == "update_stats"
    assert resolve_recipe("shifted_bn").stages[1].cache is None
    assert resolve_recipe("mislas").stages[1].bn == "eval"
    assert resolve_recipe("mislas").stages[1].cache == 0


def test_the_alignment_has_its_published_rate() -> None:
    """0.1 at a batch of 256, scaled linearly."""
    made = resolve_recipe("disalign")
    assert made.stages[1].lr * made.lr * 256 / made.batch == pytest.approx(0.1)


@pytest.mark.parametrize("recipe", ["lws", "decoupled_lws"])
def test_learned_scales_answer_to_no_exact_prior(recipe: str) -> None:
    assert resolve_recipe(recipe).prior == "approximate"
