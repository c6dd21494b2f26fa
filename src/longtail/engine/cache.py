"""Features of a frozen network, computed once a stage, in the place of its inputs."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from longtail.engine.feed import StageData
from longtail.engine.stage import Stage
from longtail.engine.state import RunState
from longtail.errors import ConfigError
from longtail.functional.random import singles, uniforms
from longtail.models import FeatureNetwork, folded
from longtail.types import Context

__all__ = ["check_cacheable", "with_cache"]


def check_cacheable(stage: Stage, trained: Sequence[str]) -> None:
    """Refuse a stage whose features would change while it trains.

    Raises:
        ConfigError: it trains more than its heads, its BatchNorm statistics move, it mixes rows
            or wants several views.
    """
    reason = ""
    moving = [name for name in trained if not name.startswith(("head.", "projector."))]
    if moving:
        reason = f"it trains {moving[0]}"
    elif stage.bn != "eval":
        reason = f"bn={stage.bn!r} moves BatchNorm statistics"
    elif stage.augment:
        reason = f"{stage.augment[0].name} mixes inputs"
    elif len(stage.views) > 1:
        reason = "it wants several views of a row"
    if stage.cache is not None and (stage.cache < 0 or stage.cache != int(stage.cache)):
        raise ConfigError(
            f"cache must be a whole number of views, 0 or more, or null, not {stage.cache}",
            "0 computes the features of the plain rows once, null computes them at every step",
        )
    if reason:
        raise ConfigError(
            f"stage {stage.name!r} cannot cache its features: {reason}",
            "set cache=null for this stage: features are then computed at every step",
        )


def with_cache(state: RunState, stage: Stage, number: int, ctx: Context, view: Any) -> Context:
    """The same context over features in the place of inputs.

    Args:
        state: the network, in eval mode for the passes.
        stage: ``cache`` says how many views of a row are kept; 0: the plain row.
        number: of the stage, for its random numbers.
        ctx: data and validation rows are replaced, model and ``collect`` too.
        view: the bound view transform, or ``None``.
    """
    model = FeatureNetwork(state.network)
    compute = functools.partial(_rows, state, ctx)
    views = range(stage.cache or 1)
    tables = []
    for v in views if stage.cache else ():
        if view is not None:
            key = (state.seed, number, "cache", v)
            u = uniforms(*key, n=len(ctx.data) * view.draws).reshape(-1, view.draws)
            tables.append(torch.from_numpy(singles(u)))
    rows = [compute(ctx.data, view, t) for t in tables] or [compute(ctx.data, None, None)]
    known = ctx.validation
    return dataclasses.replace(
        ctx,
        model=model,
        data=_replaced(ctx.data, rows),
        validation=known and _replaced(known, [compute(known, None, None)]),
        collect=functools.partial(state.collect, network=model),
    )


def _replaced(data: StageData, rows: list[Tensor]) -> StageData:
    from longtail.data.stores import ResidentStore

    store = ResidentStore(torch.cat(rows))
    index = torch.arange(len(data), device=store.device)
    return StageData(store, index, data.labels, data.weight, data.extra_rows, len(rows))


@torch.no_grad()
def _rows(
    state: RunState, ctx: Context, data: StageData, view: Any, numbers: Tensor | None
) -> Tensor:
    """``(N, ...)`` float32 hidden rows of all of ``data``, the passes shared among ranks."""
    network = state.network
    training = network.training
    network.eval()
    out = []
    cast = ctx.autocast() if ctx.autocast else contextlib.nullcontext()
    with cast, folded(network):
        for x, positions in data.passes(state.device, state.ranks):
            x = x.to(state.device)
            if view is not None and numbers is not None:
                x = view(x, numbers[positions].to(state.device))
            if state.channels_last and x.ndim == 4:
                x = x.contiguous(memory_format=torch.channels_last)
            out.append(network.to_rows(network.hidden(network.normalise(x))).float())
    network.train(training)
    mine = torch.cat(out) if out else torch.zeros((0, network.features), device=state.device)
    return state.ranks.gather_rows(mine)
