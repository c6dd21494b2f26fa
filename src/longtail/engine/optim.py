"""Optimisers, learning rates by module path, parameter selection, and the averaged copy."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import torch
from torch import nn

from longtail.errors import ConfigError, UnknownNameError
from longtail.registry import PartSpec, part

__all__ = ["BN_MODES", "OPTIMIZERS", "Average", "build_optimizer", "select_trainable", "set_modes"]

BN_MODES = ("train", "eval", "update_stats")
OPTIMIZERS: dict[str, Any] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.9, "nesterov": True, "fused": True},
    "adam": {"fused": True},
    "adamw": {"fused": True},
}


def build_optimizer(
    spec: PartSpec,
    named: Iterable[tuple[str, nn.Parameter]],
    *,
    lr_scale: tuple[tuple[str, float], ...] = (),
    undecayed: Collection[str] = (),
) -> torch.optim.Optimizer:
    """An optimiser over named parameters; each group carries its ``scale`` of the rate.

    ``lr_scale`` pairs a module path with a factor; the longest matching path rules. Parameters
    named in ``undecayed`` get no weight decay.
    """
    if spec.name not in OPTIMIZERS:
        raise UnknownNameError("optimizer", spec.name, OPTIMIZERS)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    used: set[str] = set()
    for name, parameter in named:
        hits = [(p, s) for p, s in lr_scale if name == p or name.startswith(p + ".")]
        path, scale = max(hits, key=lambda h: len(h[0]), default=("", 1.0))
        used.add(path)
        groups.setdefault((scale, name in undecayed), []).append(parameter)
    unused = [p for p, _ in lr_scale if p not in used]
    if unused:
        raise ConfigError(
            f"lr_scale names {unused[0]!r}, which no trained parameter lies under",
            "use a module path such as 'backbone' or 'head'",
        )
    if not groups:
        raise ConfigError("nothing is left to train in this stage", "check its field 'trains'")
    options = {**_DEFAULTS.get(spec.name, {}), **spec.kwargs}
    lr = options.pop("lr", 0.1)
    accepted = list(inspect.signature(OPTIMIZERS[spec.name]).parameters)[1:]
    for key in options:
        if key not in accepted:
            raise UnknownNameError(f"option of optimizer {spec.name!r} called", key, accepted)
    params: list[dict[str, Any]] = []
    for (scale, free), ps in groups.items():
        params.append({"params": ps, "scale": scale, "lr": lr * scale})
        if free:
            params[-1]["weight_decay"] = 0.0
    try:
        return OPTIMIZERS[spec.name](params, lr=lr, **options)  # type: ignore[no-any-return]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"optimizer {spec.name!r}: {error}", "change that option") from error


def optimizer_spec(
    stage_spec: PartSpec | None,
    defaults: dict[str, str],
    *,
    lr: float,
    weight_decay: float,
    decay: float = 1.0,
) -> PartSpec:
    """The stage's optimiser, or the backbone's own with the recipe's weight decay.

    Its weight decay is multiplied by ``decay``.
    """
    if not (0 <= decay < math.inf):
        raise ConfigError(
            f"decay must be a factor of at least 0, not {decay}", "1 is the usual weight decay"
        )
    if stage_spec is None:
        name = defaults.get("optimizer", "sgd")
        own = weight_decay if name == "sgd" else float(defaults.get("weight_decay", 1e-2))
        return part(name, lr=lr, weight_decay=decay * own)
    spec = stage_spec.replace(lr=stage_spec.kwargs.get("lr", lr))
    if decay == 1:
        return spec
    if decay and "weight_decay" not in spec.kwargs:
        raise ConfigError(
            f"decay={decay:g} has no weight decay of {spec} to multiply",
            f"write optimizer={spec.name}(weight_decay=...), or set decay=1",
        )
    return spec.replace(weight_decay=decay and decay * spec.kwargs["weight_decay"])


def select_trainable(model: nn.Module, trains: str) -> list[tuple[str, nn.Parameter]]:
    """Freeze what a stage does not train; return the named parameters that it does."""
    paths = [p.strip() for p in trains.split(",")]
    names = [n for n, _ in model.named_parameters()]
    if trains != "all":
        for path in paths:
            if not any(n == path or n.startswith(path + ".") for n in names):
                tops = sorted({n.split(".")[0] for n in names})
                raise UnknownNameError("trainable module path", path, tops)
    chosen = []
    for name, parameter in model.named_parameters():
        on = trains == "all" or any(name == p or name.startswith(p + ".") for p in paths)
        parameter.requires_grad_(on)
        if on:
            chosen.append((name, parameter))
    return chosen


def set_modes(model: nn.Module, bn: str) -> None:
    """Train mode, and the named BatchNorm policy for frozen parts.

    ``train`` leaves all in train mode; ``eval`` puts every module without a trained parameter in
    eval mode; ``update_stats`` does so for all but BatchNorm, whose statistics keep moving.
    """
    if bn not in BN_MODES:
        raise UnknownNameError("BatchNorm policy", bn, BN_MODES)
    model.train()
    if bn != "train":
        known: dict[nn.Module, _Holds] = {}
        _look(model, known)
        _rest(model, known, spare_norm=bn == "update_stats")


class _Holds(NamedTuple):
    """What a module and all below it hold."""

    parameters: bool
    trained: bool
    norm: bool


def _look(module: nn.Module, known: dict[nn.Module, _Holds]) -> _Holds:
    """Note what every module holds, in one walk."""
    if module in known:
        return known[module]
    own = [p for p in module._parameters.values() if p is not None]
    below = [_look(child, known) for child in module.children()]
    known[module] = _Holds(
        bool(own) or any(h.parameters for h in below),
        any(p.requires_grad for p in own) or any(h.trained for h in below),
        isinstance(module, nn.modules.batchnorm._BatchNorm) or any(h.norm for h in below),
    )
    return known[module]


def _rest(module: nn.Module, known: dict[nn.Module, _Holds], *, spare_norm: bool) -> None:
    """Eval mode from the topmost modules down that have parameters and train none."""
    holds = known[module]
    if holds.parameters and not holds.trained and not (spare_norm and holds.norm):
        module.eval()
        return
    for child in module.children():
        _rest(child, known, spare_norm=spare_norm)


class Average(nn.Module):
    """Exponential moving average of a network: ``a <- d a + (1 - d) w`` after every step.

    Parameters are averaged, buffers copied. The decay starts low (``(1 + t) / (10 + t)``) so
    that short runs are not ruled by their initial weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        if not 0 < decay < 1:
            raise ConfigError(f"ema must lie between 0 and 1, not {decay}", "try 0.999")
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.register_buffer("count", torch.zeros((), dtype=torch.float32))
        self.count: torch.Tensor

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take one step towards the current weights."""
        self.count += 1
        decay = torch.minimum(
            torch.as_tensor(self.decay, device=self.count.device),
            (1 + self.count) / (10 + self.count),
        )
        for mine, theirs in zip(self.model.parameters(), model.parameters(), strict=True):
            mine.lerp_(theirs.detach(), (1 - decay).to(mine.dtype))
        for own, other in zip(self.model.buffers(), model.buffers(), strict=True):
            own.copy_(other)
