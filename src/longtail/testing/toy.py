"""Tiny data of every modality, and a tiny stage, for checks that need the engine."""

from __future__ import annotations

import numpy as np
import sklearn.cluster  # noqa: F401  (its first import moves Python's generator: once, here)
import torch
from torch import Tensor

from longtail.data.dataset import Dataset, Split
from longtail.data.stores import ResidentStore
from longtail.engine.build import Settings, build_stage
from longtail.engine.feed import StageData
from longtail.engine.handover import hold_out_meta
from longtail.engine.loop import BuiltStage
from longtail.engine.optim import set_modes
from longtail.engine.ranks import Ranks
from longtail.engine.stage import Recipe
from longtail.engine.state import RunState
from longtail.models import InputSpec, build_network
from longtail.registry import part
from longtail.types import Batch, ClassStats

__all__ = ["TOY_COUNTS", "first_batch", "toy_data", "toy_stage", "toy_state"]

#: training counts of the toy; two steps an epoch with batches of half of it
TOY_COUNTS = (20, 9, 5, 2)
NAMES = ("oak", "elm", "<ash>", "yew")
_HELD = (4, 4, 4, 4)
_SPECS = {
    "image": InputSpec("image", (1, 8, 8), mean=(0.4,), std=(0.3,)),
    "table": InputSpec("table", (5,), mean=(0.0,) * 5, std=(1.0,) * 5),
    "text": InputSpec("text", (6,), buckets=64, ngrams=1, max_tokens=6),
}
_BACKBONES = {"image": "small_cnn", "table": "mlp", "text": "hashed_text"}


def _rows(modality: str, y: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Inputs whose class can be learned."""
    if modality == "image":
        x = rng.integers(0, 90, (len(y), 1, 8, 8))
        x[np.arange(len(y)), 0, 2 * y, :] += 150
        return torch.from_numpy(x.astype(np.uint8))
    if modality == "table":
        table = rng.normal(size=(len(y), 5)) + 2 * np.eye(5)[y]
        return torch.from_numpy(table.astype(np.float32))
    tokens = rng.integers(1, 64, (len(y), 6))
    tokens[:, :2] = 10 * (y[:, None] + 1)
    return torch.from_numpy(tokens.astype(np.int32))


def _split(modality: str, counts: tuple[int, ...], name: str, seed: int) -> Split:
    rng = np.random.default_rng([20, seed])
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    ids = [f"{name}/{i}" for i in range(len(y))]
    return Split(ResidentStore(_rows(modality, y, rng)), torch.from_numpy(y), ids)


def toy_data(modality: str = "image") -> Dataset:
    """Four classes, 36 training rows, with validation, test and unlabelled rows."""
    hidden = _split(modality, (8, 4, 2, 2), "hidden", 3)
    return Dataset(
        name=f"toy-{modality}",
        modality=modality,
        class_names=NAMES,
        input_spec=_SPECS[modality],
        train=_split(modality, TOY_COUNTS, "train", 0),
        validation=_split(modality, _HELD, "validation", 1),
        test=_split(modality, _HELD, "test", 2),
        unlabelled=Split(hidden.store, torch.full_like(hidden.labels, -1), hidden.ids),
        default_backbone=_BACKBONES[modality],
        default_augment=part("shift", pixels=1) if modality == "image" else None,
        fingerprint=f"toy-{modality}",
    )


def toy_state(
    recipe: Recipe, *, seed: int = 0, modality: str = "image", backbone: str = ""
) -> RunState:
    """A run of a recipe on a toy that has not begun; absent, the toy's own backbone."""
    data = toy_data(modality)
    backbone = backbone or data.default_backbone
    labels = data.train.labels
    rows = StageData(data.train.store, torch.arange(len(labels)), labels)
    meta = None
    if recipe.meta_per_class:
        rows, meta, _ = hold_out_meta(rows, recipe.meta_per_class, seed)
    network = build_network(
        recipe.network,
        input_spec=data.input_spec,
        backbone=backbone,
        num_classes=len(NAMES),
        head=recipe.head,
        projector=recipe.projector,
        seed=seed,
    )
    stats = ClassStats(rows.counts(len(NAMES)), NAMES)
    return RunState(
        recipe, data, backbone, network, rows, rows, stats, seed,
        torch.device("cpu"), Ranks(), list(recipe.stages), meta=meta,
    )  # fmt: skip


def toy_stage(
    recipe: Recipe, number: int = 0, *, seed: int = 0, modality: str = "image", backbone: str = ""
) -> BuiltStage:
    """One stage of a recipe, built on a toy, in training mode."""
    state = toy_state(recipe, seed=seed, modality=modality, backbone=backbone)
    built = build_stage(state, recipe.stages[number], number, Settings(batch_size=18))
    set_modes(built.ctx.model, built.bn)
    return built


def first_batch(built: BuiltStage, epoch: int = 0) -> Batch:
    """The first batch of an epoch, the clock set to it."""
    built.ctx.progress.set(epoch, 0)
    return next(iter(built.feed.batches(built.feed.plan(epoch))))
