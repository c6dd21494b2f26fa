"""Reading a finished run from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from longtail.engine.checkpoint import fitting, load_tensors, split_state
from longtail.engine.folder import RunFolder
from longtail.engine.run import Run
from longtail.engine.stage import Recipe
from longtail.models import InputSpec, TreeNetwork, build_network
from longtail.registry import instantiate

__all__ = ["load_run"]


def load_run(folder: Path | str, *, device: str = "cpu") -> Run:
    """Read a finished run from its folder; only tensors and JSON are read."""
    place = RunFolder(Path(folder), write=False)
    with fitting("run.json or model.safetensors"):
        return _read(place, device)


def _read(place: RunFolder, device: str) -> Run:
    info = place.read("run.json")
    recipe = Recipe.from_data(info["recipe"])
    tensors, _ = load_tensors(place.path / "model.safetensors")
    parts = split_state(tensors)

    def network() -> Any:
        return build_network(
            recipe.network,
            input_spec=InputSpec.from_data(info["inputs"]),
            backbone=info["backbone"],
            num_classes=len(info["class_names"]),
            head=recipe.head,
            projector=recipe.projector,
            seed=0,
        )

    live = _assemble(info["structure"], network, len(info["class_names"]))
    live.load_state_dict(parts["network"])
    if info["channels_last"]:  # the layout of training: the same sums in the same order
        live = live.to(memory_format=torch.channels_last)
    adjusters = []
    for number, spec in enumerate(recipe.adjusters):
        adjuster = instantiate("adjusters", spec)
        adjuster.restore(parts.get(f"adjuster:{number}", {}))
        adjusters.append(adjuster)
    effective, target = (
        None if v is None else torch.tensor(v, dtype=torch.float64)
        for v in (info["effective_prior"], info.get("target"))
    )
    return Run(
        info,
        live.to(device).eval(),
        [a.to(device) for a in adjusters],
        effective,
        torch.device(device),
        info["target_prior"],
        target,
        metrics=place.read("metrics.json") if (place.path / "metrics.json").is_file() else {},
        folder=place.path,
    )


def _assemble(structure: dict[str, Any], network: Any, classes: int) -> Any:
    """The final network: the recipe's own, or a tree of such networks."""
    if "leaves" not in structure:
        return network()
    leaves = [network() if has else None for has in structure["leaves"]]
    return TreeNetwork(network(), leaves, structure["groups"], classes)
