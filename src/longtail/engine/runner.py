"""From a configuration to a trained run: data, recipe, device, stages, evaluation, files."""

from __future__ import annotations

import dataclasses
import math
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import longtail
from longtail import registry
from longtail.data import load
from longtail.engine.build import Settings
from longtail.engine.checkpoint import SCHEMA
from longtail.engine.feed import JoinedStore, StageData
from longtail.engine.finish import finish, measure
from longtail.engine.folder import RunFolder, write_json
from longtail.engine.handover import hold_out_meta
from longtail.engine.launch import Launch, launch, threads_for
from longtail.engine.loop import BuiltStage, Observer
from longtail.engine.overrides import resolve_recipe
from longtail.engine.preflight import preflight, stage_prior_of
from longtail.engine.reading import load_run
from longtail.engine.recorder import Recorder
from longtail.engine.run import Run
from longtail.engine.stage import Recipe, Stage
from longtail.engine.start import Start
from longtail.engine.state import RunState, backbone_record
from longtail.engine.thumbnails import worst_examples
from longtail.engine.train import Trainer
from longtail.errors import ConfigError, DataError
from longtail.models import build_network
from longtail.schedules import allocate
from longtail.types import ClassStats

__all__ = ["Run", "RunConfig", "fit", "load_run"]


@dataclass(frozen=True)
class RunConfig:
    """What a run is asked to do; the command line's flags by the same names.

    Attributes:
        data: built-in name, path, or YAML file.
        recipe: id of the recipe; ``set`` holds ``PATH=VALUE`` overrides, ``options`` keywords.
        epochs: in all; stages share them. Default: the recipe's or the backbone's own.
        batch_size: default: the largest power of two from 128 to 16 with 20 steps an epoch.
        lr: default: the recipe's, scaled from its published batch.
        validation: share of the training rows cut for validation, or ``None``.
        start: a run's folder or a file of weights that stands for the recipe's first stage.
        checkpoint_seconds: least time between two saved states.
    """

    data: Any = "digits-lt"
    recipe: str = "ce"
    set: Sequence[str] = ()
    options: Sequence[tuple[str, Any]] = ()
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "32"
    workers: int = 0
    backbone: str | None = None
    imbalance_factor: float | None = None
    profile: str = "exponential"
    data_root: str | Path | None = None
    output: str | Path | None = None
    resume: bool = False
    target_prior: Any = "as_trained"
    labelled_share: float | None = None
    validation: float | None = None
    compile: bool = False
    accumulate: int = 1
    start: str | Path | None = None
    checkpoint_seconds: float = 10.0
    progress: bool = True


def fit(config: RunConfig, dataset: Any = None) -> Run:
    """Train one recipe on one data set, evaluate it, and leave its folder."""
    began = time.perf_counter()
    recipe = resolve_recipe(config.recipe, config.set, **dict(config.options))
    place = launch(config.device, config.precision)
    data = _load(config, recipe) if dataset is None else dataset
    _check(config, recipe, data)
    plan = _Plan.make(config, recipe, data)
    with threads_for(plan.batch_size * math.prod(data.input_spec.shape)):
        return _run(config, recipe, data, plan, place, began)


def _run(
    config: RunConfig, recipe: Recipe, data: Any, plan: _Plan, place: Launch, began: float
) -> Run:
    """Train, or continue, or read what is whole already."""
    kept = None if config.output is None else Path(config.output)
    folder = RunFolder(kept, write=place.ranks.first)
    if config.output is not None:
        identity = plan.identity(config, recipe, data)
        there = place.ranks.broadcast(
            folder.open(identity, resume=config.resume) if place.ranks.first else None
        )
        if there and folder.has("metrics.json"):
            return load_run(folder.path, device=str(place.device))
    state = _state(config, recipe, data, plan, place)
    preflight(state, config.target_prior)
    info = _info(config, recipe, data, plan, state)
    if not folder.has("run.json"):
        folder.save("run.json", info)
    place.ranks.barrier()
    trainer, recorder = _trainer(config, data, plan, state, folder, place)
    trainer.run()
    run = finish(data, state, trainer, info, target_prior=config.target_prior)
    cost = {"steps": trainer.steps, "samples_seen": trainer.samples}
    run.metrics = measure(
        run, data, state, {**cost, "seconds": recorder.seconds(began)}, versions()
    )
    if config.output is not None and place.ranks.first:
        _write(run, data, folder)
    place.ranks.barrier()
    return run


def _write(run: Run, data: Any, folder: RunFolder) -> None:
    """Leave the run's files; ``metrics.json`` comes last and says that it is whole."""
    run.folder = folder.path
    run.save(folder)
    if run.last_predictions is not None:
        run.last_predictions.save(folder.path / "predictions.npz")
        if data.modality == "image":
            examples = worst_examples(data.test, run.last_predictions, run.class_names)
            write_json(folder.path / "thumbnails.json", examples)
    folder.save("metrics.json", run.metrics)


@dataclass(frozen=True)
class _Plan:
    """Numbers decided once a run: backbone, batch, epochs of each stage, weights to start from."""

    backbone: str
    batch_size: int
    epochs: int
    stages: tuple[Stage, ...]
    rows: int
    start: Start | None = None

    @staticmethod
    def make(config: RunConfig, recipe: Recipe, data: Any) -> _Plan:
        start = None if config.start is None else Start.find(config.start)
        trained = start.about.get("backbone") if start is not None else None
        backbone = config.backbone or trained or data.default_backbone
        record = backbone_record(backbone)
        rows = len(data.train.labels)
        if "unlabelled" in recipe.needs and data.unlabelled is not None:
            rows += len(data.unlabelled.labels)
        batch = default_batch(rows) if config.batch_size is None else config.batch_size
        own = int(dict(record.details).get("epochs", recipe.epochs))
        epochs = config.epochs if config.epochs is not None else own
        left = recipe.stages if start is None else start.stages(recipe)
        if start is not None and config.epochs is None:
            whole = sum(s.epochs for s in recipe.stages)
            epochs = max(1, round(own * sum(s.epochs for s in left) / whole))
        _positive(epochs=epochs, batch_size=batch, accumulate=config.accumulate)
        if config.accumulate > batch:
            raise ConfigError(
                f"a batch of {batch} rows has no {config.accumulate} micro-batches",
                "give a smaller --accumulate, or a larger --batch-size",
            )
        if config.lr is not None and not 0 < config.lr < float("inf"):
            raise ConfigError(f"lr must be above 0, not {config.lr}", "give a number such as 0.1")
        shares = allocate(epochs, [s.epochs for s in left]) if left else []
        pairs = zip(left, shares, strict=True)
        stages = tuple(dataclasses.replace(s, epochs=e) for s, e in pairs)
        return _Plan(backbone, batch, sum(shares), stages, rows, start)

    def identity(self, config: RunConfig, recipe: Recipe, data: Any) -> dict[str, Any]:
        """What makes this run this run: two runs with equal identities are one."""
        return {
            "recipe": recipe.to_data(),
            "data": {"name": data.name, "fingerprint": data.fingerprint},
            "backbone": self.backbone,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "lr": config.lr,
            "seed": config.seed,
            "precision": config.precision,
            "accumulate": config.accumulate,
            "labelled_share": config.labelled_share,
            "target_prior": str(config.target_prior),
            **({} if self.start is None else {"from": self.start.identity()}),
        }


def _positive(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            flag = name.replace("_", "-")
            raise ConfigError(f"{flag} must be at least 1, not {value}", f"give --{flag} 1 or more")


def default_batch(rows: int) -> int:
    """Largest power of two from 128 down to 16 that gives at least 20 steps an epoch."""
    return next((b for b in (128, 64, 32, 16) if -(-rows // b) >= 20), 16)


def _load(config: RunConfig, recipe: Recipe) -> Any:
    return load(config.data, data_root=config.data_root, **_reading(config, recipe))


def _reading(config: RunConfig, recipe: Recipe) -> dict[str, Any]:
    """How the data are cut: what was asked for, and what the recipe needs."""
    share = config.labelled_share
    if share is None and "unlabelled" in recipe.needs and _built_in(config.data):
        share = 0.2
    return {
        "imbalance_factor": config.imbalance_factor,
        "profile": config.profile,
        "validation": config.validation or "validation" in recipe.needs,
        "labelled_share": share,
    }


def _source(config: RunConfig, recipe: Recipe) -> dict[str, Any]:
    """What reads the same data again from any directory; ``data`` is ``None`` for arrays."""
    data, root = config.data, config.data_root
    if isinstance(data, str | Path) and not _built_in(str(data)):
        data = Path(data).expanduser().resolve()
    return {
        "data": str(data) if isinstance(data, str | Path) else None,
        "data_root": None if root is None else str(Path(root).expanduser().resolve()),
        **_reading(config, recipe),
    }


def _built_in(data: Any) -> bool:
    sets = registry.records("datasets")
    return isinstance(data, str) and any(data == r.name or data in r.aliases for r in sets)


def _check(config: RunConfig, recipe: Recipe, data: Any) -> None:
    record = registry.get("recipes", recipe.name)
    if data.modality not in record.modalities:
        raise ConfigError(
            f"recipe {recipe.name!r} works on {', '.join(record.modalities)}, not on {data.modality} data",
            "choose another recipe: longtail list recipes",
        )
    if "unlabelled" in recipe.needs and data.unlabelled is None:
        raise DataError(
            f"recipe {recipe.name!r} needs unlabelled rows and the data have none",
            "hide the labels of a share with --labelled-share 0.2",
        )
    backbone = backbone_record(config.backbone or data.default_backbone)
    if data.modality not in backbone.modalities:
        raise ConfigError(
            f"backbone {backbone.name!r} does not take {data.modality} data",
            f"use {data.default_backbone!r}, or see longtail list backbones",
        )
    if recipe.prior != "composed" and str(config.target_prior) != "as_trained":
        raise ConfigError(
            f"the prior that recipe {recipe.name!r} answers to is not known",
            "keep --target-prior as_trained",
        )
    second = any(_second_order(s) for s in recipe.stages)
    if config.compile and second:
        raise ConfigError(
            f"recipe {recipe.name!r} differentiates through its step, which compilation refuses",
            "leave --compile out",
        )


def _second_order(stage: Stage) -> bool:
    return bool(registry.get("objectives", stage.objective.name).load().second_order)


def _state(config: RunConfig, recipe: Recipe, data: Any, plan: _Plan, place: Launch) -> RunState:
    store, unlabelled, extra = data.train.store, None, 0
    if data.unlabelled is not None and "unlabelled" in recipe.needs:
        first = len(store)
        store = JoinedStore((store, data.unlabelled.store))
        unlabelled = first + torch.arange(len(data.unlabelled.labels))
        extra = len(unlabelled)
    store = store.to(place.device)
    labels = data.train.labels.to(torch.int64)
    rows = StageData(store, torch.arange(len(labels)), labels, data.train.weight, extra)
    meta, notes = None, list(data.notes)
    if recipe.meta_per_class:
        rows, meta, lines = hold_out_meta(rows, recipe.meta_per_class, config.seed)
        notes += lines
    counts = rows.counts(len(data.class_names))
    empty = bool((counts == 0).any())
    stats = ClassStats(
        counts, data.class_names, on_empty="smooth" if empty else "error", benchmark=data.benchmark
    )
    network = build_network(
        recipe.network,
        input_spec=data.input_spec,
        backbone=plan.backbone,
        num_classes=len(data.class_names),
        head=recipe.head,
        projector=recipe.projector,
        seed=config.seed,
    )
    state = RunState(
        recipe, data, plan.backbone, network, rows, rows, stats, config.seed, place.device,
        place.ranks, list(plan.stages), meta=meta, unlabelled=unlabelled, notes=notes,
        channels_last=data.modality == "image", amp=place.amp,
    )  # fmt: skip
    state.network = state.place(network)
    if plan.start is not None:
        state.prior = plan.start.load(state, stage_prior_of(state, recipe.stages[0]))
    if config.compile:
        state.network.compile()
    return state


def _info(
    config: RunConfig, recipe: Recipe, data: Any, plan: _Plan, state: RunState
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "identity": plan.identity(config, recipe, data),
        "recipe": recipe.to_data(),
        "seed": config.seed,
        "epochs": plan.epochs,
        "batch_size": plan.batch_size,
        "backbone": plan.backbone,
        "class_names": list(data.class_names),
        "counts": [int(v) for v in state.stats.raw],
        "on_empty": state.stats.on_empty,
        "benchmark": data.benchmark,
        "inputs": data.input_spec.to_data(),
        "modality": data.modality,
        "channels_last": state.channels_last,
        "structure": state.structure,
        "effective_prior": None,
        "target_prior": "as_trained",
        "data": {"name": data.name, "fingerprint": data.fingerprint, "rows": len(state.start)},
        "source": _source(config, recipe),
        "precision": config.precision,
        "device": str(state.device),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    return {
        "longtail": longtail.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _trainer(
    config: RunConfig, data: Any, plan: _Plan, state: RunState, folder: RunFolder, place: Launch
) -> tuple[Trainer, Recorder]:
    settings = Settings(
        batch_size=plan.batch_size,
        lr=config.lr,
        accumulate=config.accumulate,
        workers=config.workers,
        scaler=place.scaler(),
    )
    recorder = Recorder(state, folder, data.validation, show=config.progress and place.ranks.first)
    observers: list[Observer] = [recorder]

    def prepare(stage: BuiltStage) -> None:
        recorder.begin(stage)

    trainer = Trainer(
        state,
        folder,
        settings,
        observers=observers,
        seconds=config.checkpoint_seconds,
        prepare=prepare,
    )
    return trainer, recorder
