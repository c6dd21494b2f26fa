"""What a step is made of: clipping, averaging, micro-batches, precision, frozen parts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from longtail.engine.optim import Average, build_optimizer, select_trainable, set_modes
from longtail.engine.ranks import Ranks
from longtail.engine.runner import Run, RunConfig, fit
from longtail.engine.update import Plain
from longtail.errors import ConfigError, UnknownNameError
from longtail.losses import CrossEntropy
from longtail.registry import part
from longtail.types import Batch, Terms


def short(recipe: str, *settings: str, **options: Any) -> Run:
    options = {"epochs": 1, "batch_size": 64, **options}
    return fit(RunConfig("digits-lt", recipe, set=settings, progress=False, **options))


def state_of(run: Run) -> dict[str, torch.Tensor]:
    return {k: v.detach().clone() for k, v in run.network.state_dict().items()}


class Toy(nn.Module):
    """``L = mean (w x - y)^2`` with a parameter that no loss reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0, -2.0]))
        self.idle = nn.Parameter(torch.tensor([3.0]))


def toy_batch(n: int = 5) -> Batch:
    x = torch.arange(2.0 * n).reshape(n, 2) / n
    return Batch((x,), torch.arange(n), torch.arange(n))


def toy_terms(model: Toy, pushed: list[int] | None = None) -> Any:
    def follow() -> None:
        if pushed is not None:
            pushed.append(-1)

    def closure(ctx: Any, batch: Batch) -> Terms:
        error = (batch.views[0] @ model.w - batch.target) ** 2
        rows = torch.tensor(float(len(batch)))

        def push() -> None:
            if pushed is not None:
                pushed.append(len(batch))

        return Terms(error.mean(), rows, {"part": error.mean().detach()}, (push, follow))

    return closure


class NoAutocast:
    autocast = None
    loss = CrossEntropy().defer()


def equipped(model: Toy, **options: Any) -> Plain:
    update = Plain()
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.1, weight_decay=0.5)
    update.equip(optimizer=optimizer, parameters=parameters, ranks=Ranks(), **options)
    return update


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_micro_batches_are_the_batch(accumulate: int) -> None:
    model, batch, pushed = Toy(), toy_batch(), list[int]()
    expected = ((batch.views[0] @ model.w - batch.target) ** 2).mean()
    (gradient,) = torch.autograd.grad(expected, model.w)
    moved = model.w.detach() - 0.1 * (gradient + 0.5 * model.w.detach())
    terms = equipped(model, accumulate=accumulate)(NoAutocast(), toy_terms(model, pushed), batch)
    torch.testing.assert_close(model.w.detach(), moved)
    torch.testing.assert_close(terms.total.detach(), expected.detach())
    torch.testing.assert_close(terms.parts["part"], expected.detach())
    assert model.idle.item() == pytest.approx(3.0 * 0.95), "a missing gradient counts as zero"
    assert sorted(p for p in pushed if p > 0) == sorted(len(b) for b in batch.split(accumulate))
    assert len(pushed) == accumulate + 1, "what belongs to the step runs once"


def test_what_micro_batches_share_is_committed_once() -> None:
    model, pushed = Toy(), list[str]()

    def shared() -> None:
        pushed.append("follow")

    def closure(ctx: Any, batch: Batch) -> Terms:
        total = (batch.views[0] @ model.w).mean()
        return Terms(total, torch.tensor(1.0), {}, (lambda: pushed.append("push"), shared))

    equipped(model, accumulate=3)(NoAutocast(), closure, toy_batch(6))
    assert pushed.count("follow") == 1
    assert pushed.count("push") == 3


def test_paco_follows_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    from longtail.models import Twin

    calls = []
    update = Twin.update
    monkeypatch.setattr(Twin, "update", lambda self, *a: (calls.append(1), update(self, *a)))
    run = short("paco", accumulate=2)
    assert len(calls) == run.metrics["steps"]


def test_clipping_bounds_the_joint_gradient() -> None:
    model = Toy()
    before = model.w.detach().clone()
    update = equipped(model, clip=0.01)
    update.optimizer.param_groups[0]["weight_decay"] = 0.0
    update(NoAutocast(), toy_terms(model), toy_batch())
    assert float((model.w.detach() - before).norm()) == pytest.approx(0.1 * 0.01, rel=1e-3)


def test_the_average_follows_and_replaces() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = Average(model, 0.9)
    start = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
        model[1].running_mean.fill_(5.0)
    average.update(model)
    decay = min(0.9, 2 / 11)
    for mine, old in zip(average.model.parameters(), start, strict=True):
        torch.testing.assert_close(mine, old + (1 - decay))
    assert average.model[1].running_mean.tolist() == [5.0, 5.0]
    assert not any(p.requires_grad for p in average.parameters())


@pytest.mark.parametrize("value", ["ema=0", "ema=1", "ema=2"])
def test_decays_that_average_nothing(value: str) -> None:
    with pytest.raises(ConfigError, match="ema must lie between"):
        short("ce", value)


def test_averaged_weights_are_the_model() -> None:
    plain, averaged = state_of(short("ce")), state_of(short("ce", "ema=0.99"))
    assert not torch.equal(plain["head.weight"], averaged["head.weight"])


@pytest.mark.parametrize("recipe", ["ce", "paco", "sade"])
def test_reduced_precision_trains(recipe: str) -> None:
    run = short(recipe, precision="bf16")
    assert all(v.dtype != torch.bfloat16 for v in run.network.state_dict().values())
    assert 0 <= run.metrics["test"]["accuracy"] <= 1
    full = short(recipe)
    assert run.metrics["test"]["nll"] == pytest.approx(full.metrics["test"]["nll"], rel=0.2)


def test_half_precision_needs_an_accelerator() -> None:
    with pytest.raises(ConfigError, match="needs an accelerator"):
        short("ce", precision="16", device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="no CUDA device"):
        short("ce", device="cuda")


@pytest.mark.parametrize(
    ("option", "value", "near"),
    [("device", "gpu", "cpu"), ("precision", "fp32", "32")],
)
def test_misspelt_places(option: str, value: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=value) as caught:
        short("ce", **{option: value})
    assert near in str(caught.value)


@pytest.mark.full
@pytest.mark.filterwarnings("default")
def test_a_compiled_network_trains_the_same() -> None:
    options = {"epochs": 1, "batch_size": 331, "backbone": "small_cnn"}
    plain = short("ce", "optimizer=sgd(lr=0.01)", **options)
    compiled = short("ce", "optimizer=sgd(lr=0.01)", compile=True, **options)
    for name, value in state_of(plain).items():
        torch.testing.assert_close(state_of(compiled)[name], value, atol=1e-4, rtol=1e-3)


def test_a_bilevel_step_is_not_compiled() -> None:
    with pytest.raises(ConfigError, match="'meta_weight_net' differentiates through its step"):
        short("meta_weight_net", compile=True)


@pytest.mark.parametrize("policy", ["eval", "update_stats", "train"])
def test_frozen_batchnorm_does_what_its_policy_says(tmp_path: Any, policy: str) -> None:
    """cRT's second stage: the trunk never moves, its statistics only where they may."""
    from safetensors.torch import load_file

    run = short("crt", f"bn={policy}", epochs=2, output=tmp_path / "run")
    before = load_file(tmp_path / "run" / "checkpoints" / "start-1.safetensors")
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    moved = []
    for name, value in run.network.state_dict().items():
        same = torch.equal(before[f"network/{name}"], value)
        if name.startswith("head."):
            assert not same, "the head is trained"
        elif name.endswith(statistics):
            moved.append(not same)
        else:
            assert same, f"{name} is frozen"
    assert all(moved) == any(moved) == (policy != "eval")


def test_modes_of_frozen_modules() -> None:
    trunk = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))
    model = nn.ModuleDict({"trunk": trunk, "head": nn.Linear(2, 2)})
    select_trainable(model, "head")
    for policy, norm in (("train", True), ("update_stats", True), ("eval", False)):
        set_modes(model, policy)
        assert trunk[1].training is norm
        assert model["head"].training
    assert not trunk[2].training
    with pytest.raises(UnknownNameError, match="BatchNorm policy"):
        set_modes(model, "frozen")


def test_rates_by_module_path() -> None:
    model = nn.ModuleDict({"backbone": nn.Linear(2, 2), "head": nn.Linear(2, 2)})
    named = list(model.named_parameters())
    scales = (("backbone", 0.1), ("backbone.bias", 0.5))
    optimizer = build_optimizer(part("sgd", lr=1.0), named, lr_scale=scales)
    rates = {g["lr"]: len(g["params"]) for g in optimizer.param_groups}
    assert rates == {0.1: 1, 0.5: 1, 1.0: 2}
    with pytest.raises(ConfigError, match="lr_scale names 'trunk'"):
        build_optimizer(part("sgd"), named, lr_scale=(("trunk", 0.1),))
    with pytest.raises(UnknownNameError, match="did you mean 'adam'"):
        build_optimizer(part("adamx"), named)


def test_what_trains_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'backbone'"):
        short("ce", "trains=backbon")


def test_scales_of_loss_and_head_must_agree() -> None:
    with pytest.raises(ConfigError, match="expects logits of scale 30, the head has scale 16"):
        short("ldam", "head=cosine(scale=16.0)")
    with pytest.raises(ConfigError, match="the head has no cosine scale"):
        short("ldam", "head=linear")
