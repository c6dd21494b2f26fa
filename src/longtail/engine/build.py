"""From a stage as a value to live parts: bound, placed, checked against each other."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from longtail.engine.cache import check_cacheable, with_cache
from longtail.engine.feed import Feed, StageData, StreamSource
from longtail.engine.handover import stage_rows
from longtail.engine.loop import BuiltStage
from longtail.engine.optim import Average, build_optimizer, optimizer_spec, select_trainable
from longtail.engine.stage import Stage
from longtail.engine.state import RunState, backbone_record
from longtail.errors import ConfigError
from longtail.models import seeded
from longtail.objectives.base import Objective, Stream
from longtail.posthoc.prior import effective_prior
from longtail.registry import PartSpec, instantiate
from longtail.types import ClassStats, Context, Progress

__all__ = ["Settings", "build_stage", "check_scale", "composed_prior", "stage_prior"]


class Settings:
    """What the command line says of every stage."""

    def __init__(
        self,
        *,
        batch_size: int,
        lr: float | None = None,
        accumulate: int = 1,
        workers: int = 0,
        scaler: Any = None,
    ) -> None:
        self.batch_size, self.lr, self.accumulate = batch_size, lr, accumulate
        self.workers, self.scaler = workers, scaler


def build_stage(state: RunState, stage: Stage, number: int, settings: Settings) -> BuiltStage:
    """Bind a stage's parts to its data and the network."""
    data = stage_rows(state.data, stage.classes)
    stats = _stats(state, stage, data)
    loss = instantiate("losses", stage.loss).bind(stats).to(state.device)
    check_scale(state, stage, loss)
    objective: Objective = instantiate("objectives", stage.objective)
    named = select_trainable(state.network, stage.trains)
    optimizer = _optimizer(state, stage, settings, named)
    average = None if stage.ema is None else state.place(Average(state.network, stage.ema))
    update = instantiate("updates", stage.update).equip(
        optimizer=optimizer,
        parameters=[p for _, p in named],
        ranks=state.ranks,
        accumulate=settings.accumulate,
        clip=stage.clip,
        scaler=settings.scaler,
        average=average,
        model=state.network,
    )
    progress = Progress(epochs=int(stage.epochs)).to(state.device)
    loss.attach(progress).defer()
    optimizers: dict[str, Any] = {"model": optimizer}
    ctx = Context(
        model=state.network,
        stats=stats,
        loss=loss,
        data=data,
        progress=progress,
        ranks=state.ranks,
        update=update,
        optimizers=optimizers,
        teachers=state.live_teachers(),
        validation=state.validation(),
        collect=state.collect,
        seed=state.seed,
        autocast=_autocast(state),
        notes=state.notes,
    )
    if stage.cache is not None:
        check_cacheable(stage, [name for name, _ in named])
        ctx = with_cache(state, stage, number, ctx, _view(stage.views[0], state, ctx))
    with seeded(hash_seed(state.seed, number, "objective")):
        objective.setup(ctx)
    objective.to(state.device)
    for name, private in objective.private.items():
        inner = getattr(objective, name)
        optimizers[name] = build_optimizer(private, inner.named_parameters())
    feed = _feed(state, stage, number, settings, ctx, objective)
    progress.steps = feed.steps
    rate_of = instantiate("schedules", stage.schedule)
    return BuiltStage(
        stage.name, number, int(stage.epochs), feed, objective, ctx, rate_of, stage.bn, average,
        settings.scaler,
    )  # fmt: skip


def _optimizer(
    state: RunState, stage: Stage, settings: Settings, named: list[tuple[str, nn.Parameter]]
) -> torch.optim.Optimizer:
    """The stage's optimiser; each group remembers the rate its schedule scales."""
    own = _rate(state, settings) if settings.lr is None else settings.lr
    rate = stage.lr * own * _alone(state, stage)
    decay = state.recipe.weight_decay
    spec = optimizer_spec(
        stage.optimizer, _defaults(state), lr=rate, weight_decay=decay, decay=stage.decay
    )
    undecayed = {
        f"{path}.{name}"
        for path, module in state.network.named_modules()
        for name in getattr(module, "undecayed", ())
    }
    optimizer = build_optimizer(spec, named, lr_scale=stage.lr_scale, undecayed=undecayed)
    for group in optimizer.param_groups:
        group["base"] = group["lr"]
    return optimizer


def _stats(state: RunState, stage: Stage, data: StageData) -> ClassStats:
    counts = data.counts(state.stats.num_classes)
    return state.stats.subset(counts, "ignore" if stage.classes else state.stats.on_empty)


def _defaults(state: RunState) -> dict[str, str]:
    return dict(backbone_record(state.backbone).details)


def _rate(state: RunState, settings: Settings) -> float:
    """The recipe's rate scaled linearly from its published batch (SGD); AdamW has its own."""
    defaults = _defaults(state)
    if defaults.get("optimizer", "sgd") != "sgd":
        return float(defaults.get("lr", 1e-3)) * state.recipe.lr / 0.1
    return state.recipe.lr * settings.batch_size / state.recipe.batch


def _alone(state: RunState, stage: Stage) -> float:
    """10 for a stage of AdamW that trains the head only: a few steps must carry a fresh head."""
    head_only = all(p.strip().startswith("head") for p in stage.trains.split(","))
    adaptive = stage.optimizer is None and _defaults(state).get("optimizer") == "adamw"
    return 10.0 if head_only and adaptive else 1.0


def check_scale(state: RunState, stage: Stage, loss: Any) -> None:
    """A margin loss and the head must agree about the scale of cosines."""
    head = state.network.scale
    if loss.scale is not None and (head is None or abs(float(head) - loss.scale) > 1e-6):
        has = "no cosine scale" if head is None else f"scale {float(head):g}"
        raise ConfigError(
            f"loss {stage.loss.name!r} expects logits of scale {loss.scale:g}, the head has {has}",
            f"use a cosine head of the same scale: --set 'head=cosine(scale={loss.scale:g})'",
        )


def _autocast(state: RunState) -> Callable[[], Any] | None:
    if state.amp is None:
        return None
    kind, dtype = state.device.type, state.amp
    return lambda: torch.autocast(kind, dtype=dtype)


class Streams:
    """The streams of a stage: its own, and those its objective asks for at every epoch."""

    def __init__(
        self, state: RunState, stage: Stage, number: int, data: StageData, ctx: Context
    ) -> None:
        self.state, self.stage, self.number, self.ctx = state, stage, number, ctx
        self.pools = {"train": data, "meta": state.meta}
        self.asked: dict[str, Stream] = {}
        self.main = self._source("", Stream(stage.sampler))
        self.live: dict[str, StreamSource] = {}

    def renew(self, objective: Objective) -> tuple[StreamSource, dict[str, StreamSource]]:
        """Own stream and extra streams, as the objective wants them now."""
        wanted = {k: make(self.ctx.stats, objective) for k, make in objective.streams.items()}
        for name, stream in wanted.items():
            if self.asked.get(name) != stream:
                self.live[name] = self._source(name, stream)
        self.asked = wanted
        extra = {k: v for k, v in self.live.items() if k}
        return self.live.get("", self.main), extra

    def _source(self, name: str, stream: Stream) -> StreamSource:
        pool = self.pools.get(stream.source)
        if pool is None:
            raise ConfigError(
                f"objective {self.stage.objective.name!r} needs a meta set and the recipe cuts none",
                "set meta_per_class in the recipe",
            )
        live = stream.sampler
        if isinstance(live, PartSpec | str):
            live = instantiate("samplers", live)
        elif callable(live):
            live = live(self.main.sampler)
        seed = hash_seed(self.state.seed, self.number, name)
        live.bind_labels(pool.labels.cpu(), self.state.stats.num_classes, seed)
        live.epochs = self.ctx.progress.epochs
        return StreamSource(pool, live)


def _feed(
    state: RunState,
    stage: Stage,
    number: int,
    settings: Settings,
    ctx: Context,
    objective: Objective,
) -> Feed:
    data = ctx.data
    streams = Streams(state, stage, number, data, ctx)
    batch_size = min(settings.batch_size, len(data) + data.extra_rows)
    said = streams.main.sampler.notes(batch_size)
    state.notes += [note for note in said if note not in state.notes]
    views = [None] if stage.cache is not None else [_view(v, state, ctx) for v in stage.views]
    return Feed(
        main=streams.main,
        batch_size=batch_size,
        seed=state.seed,
        stage=number,
        device=state.device,
        ranks=state.ranks,
        views=tuple(views),
        mix=tuple(_augment(a, state, ctx) for a in stage.augment),
        draws=objective.draws,
        step_draws=objective.step_draws,
        noisy=ctx.loss.noisy,
        accumulate=settings.accumulate,
        workers=settings.workers,
        channels_last=state.channels_last,
        renew=lambda: streams.renew(objective),
    )


def hash_seed(seed: int, stage: int, name: str) -> int:
    """One number for a sampler from run seed, stage and stream name."""
    return (seed * 1_000_003 + stage * 8191 + zlib.crc32(name.encode())) % (1 << 62)


def _view(spec: Any, state: RunState, ctx: Context) -> Any:
    """A bound view transform; ``None`` in the recipe is the data's own."""
    spec = state.dataset.default_augment if spec is None else spec
    return None if spec is None else _augment(spec, state, ctx)


def _augment(spec: Any, state: RunState, ctx: Context) -> Any:
    live = instantiate("augments", spec).bind(ctx.stats).to(state.device)
    return live.attach(ctx.progress)


def stage_prior(state: RunState, stage: Stage, built: BuiltStage) -> Tensor | None:
    """The prior that the stage's raw softmax answers to; ``None`` when no formula gives it.

    ``prior ~ s_c w_c exp(-a_c)`` of sampler, class weights and additive offset at the stage's end;
    a composition that corrects the prior twice is refused.
    """
    built.ctx.progress.set(built.epochs - 1, built.steps - 1)
    own = bool(len(built.ctx.data))
    stats, labels = (
        (built.ctx.stats, built.ctx.data.labels) if own else (state.stats, state.start.labels)
    )
    sampler, double = built.feed.main.sampler, state.recipe.allow_double
    found = composed_prior(built.ctx.loss, sampler, stats, labels, double)
    built.ctx.progress.set(0, 0)
    return found


def composed_prior(
    loss: Any, sampler: Any, stats: ClassStats, labels: Tensor, allow_double: bool
) -> Tensor | None:
    """:func:`~longtail.posthoc.prior.effective_prior` of live parts, at the clock they read.

    Where the zero-count policy adds one row to each class, so does the sampler's marginal.
    """
    if bool((stats.counts > stats.raw).any()):
        sampler = copy.deepcopy(sampler)
        rows = torch.cat([labels.cpu(), torch.arange(stats.num_classes)])
        sampler.bind_labels(rows, stats.num_classes)
    offset = loss.prior_offset()
    weight = loss.class_weight()
    found = effective_prior(
        sampler.final_marginal(),
        None if weight is None else weight.detach().cpu().double(),
        None if offset is None else offset.detach().cpu().double(),
        natural=stats.prior,
        allow_double=allow_double,
    )
    return None if offset is None else found
