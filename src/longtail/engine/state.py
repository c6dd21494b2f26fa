"""Where a run stands between two stages: what handovers read and change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from longtail.engine.feed import StageData
from longtail.engine.ranks import Ranks
from longtail.engine.stage import Recipe, Stage
from longtail.errors import ConfigError
from longtail.models import build_network
from longtail.registry import Record, get
from longtail.types import ClassStats, Outputs

__all__ = ["RunState", "backbone_record"]


def backbone_record(name: str) -> Record:
    """What is known of a backbone; ``timm:NAME`` is any image model of the package timm."""
    if name.startswith("timm:"):
        details = {"optimizer": "sgd", "lr": "0.1"}
        target = "longtail.models.foreign:TimmBackbone"
        return Record(
            name, "backbones", "a model of timm", target, modalities=("image",), details=details
        )
    return get("backbones", name)


@dataclass
class RunState:
    """The run between stages.

    Attributes:
        recipe: resolved; ``stages`` is the list in force (expansions done).
        dataset: the data as loaded.
        backbone: name of the backbone.
        network: the model as it stands.
        start: the training data before any handover; ``data`` the data as they stand.
        datas: data that finished stages trained on, by stage name.
        meta: rows set aside for a meta set, or ``None``.
        unlabelled: positions in the store of unlabelled rows, or ``None``.
        stats: policy and names for class statistics.
        ends: weights at the end of finished stages, by name.
        teachers: name -> stage whose weights it has.
        structure: how the final network is put together, for loading.
        notes: lines for the user.
        prior: what the raw softmax answers to before any stage is trained, or ``None``.
        weights: ``(C,)`` mean sample weights it was trained with by then, or ``None``.
    """

    recipe: Recipe
    dataset: Any
    backbone: str
    network: Any
    start: StageData
    data: StageData
    stats: ClassStats
    seed: int
    device: torch.device
    ranks: Ranks
    stages: list[Stage]
    datas: dict[str, StageData] = field(default_factory=dict)
    meta: StageData | None = None
    unlabelled: Tensor | None = None
    ends: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    teachers: dict[str, str] = field(default_factory=dict)
    structure: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    channels_last: bool = False
    amp: torch.dtype | None = None
    prior: Tensor | None = None
    weights: Tensor | None = None

    def mean_weights(self) -> Tensor | None:
        """``(C,)`` mean sample weights that the classifier was trained with, or ``None``."""
        if any(stage.trains_head for stage in self.stages):
            return self.data.mean_weights(self.stats.num_classes)
        return self.weights

    def fresh_network(self, salt: int = 0) -> Any:
        """A new network of the recipe, its weights drawn from the seed (and ``salt``)."""
        network = build_network(
            self.recipe.network,
            input_spec=self.dataset.input_spec,
            backbone=self.backbone,
            num_classes=self.stats.num_classes,
            head=self.recipe.head,
            projector=self.recipe.projector,
            seed=self.seed + 7919 * salt,
        )
        return self.place(network)

    def validation(self) -> StageData | None:
        """The labelled validation rows, or ``None``."""
        split = self.dataset.validation
        if split is None or not len(split.labels):
            return None
        return StageData(split.store, torch.arange(len(split.labels)), split.labels)

    def place(self, network: nn.Module) -> Any:
        """A network on the run's device, in its memory layout."""
        layout: dict[str, Any] = (
            {"memory_format": torch.channels_last} if self.channels_last else {}
        )
        return network.to(self.device, **layout)

    def end_of(self, stage: str) -> Any:
        """A frozen network with the weights a finished stage ended with."""
        if stage not in self.ends:
            raise ConfigError(
                f"no finished stage is called {stage!r}",
                f"finished stages: {', '.join(self.ends) or 'none'}",
            )
        network = self.fresh_network()
        network.load_state_dict(self.ends[stage])
        return network.eval().requires_grad_(False)

    def live_teachers(self) -> dict[str, Any]:
        """The teachers as frozen networks."""
        return {name: self.end_of(stage) for name, stage in self.teachers.items()}

    @torch.no_grad()
    def outputs(self, data: StageData, network: Any = None) -> Iterator[tuple[Outputs, Tensor]]:
        """``(outputs, positions)`` of this rank's share of some rows, in eval mode."""
        network = self.network if network is None else network
        training = network.training
        network.eval()
        for x, positions in data.passes(self.device, self.ranks):
            x = x.to(self.device)
            if self.channels_last and x.ndim == 4:
                x = x.contiguous(memory_format=torch.channels_last)
            yield network(x), positions
        network.train(training)

    def collect(self, data: StageData, field_name: str, network: Any = None) -> Tensor:
        """One field of the outputs for all rows, joined in rank order, on the CPU."""
        rows = [getattr(o, field_name).float() for o, _ in self.outputs(data, network)]
        width = rows[0].shape[1:] if rows else ()
        mine = torch.cat(rows) if rows else torch.zeros((0, *width), device=self.device)
        return self.ranks.gather_rows(mine).cpu()
