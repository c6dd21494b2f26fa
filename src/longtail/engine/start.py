"""Starting at a recipe's second stage, from weights that were trained before."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from longtail.engine.checkpoint import load_tensors, split_state
from longtail.engine.stage import Recipe, Stage
from longtail.engine.state import RunState
from longtail.errors import CheckpointError, ConfigError
from longtail.models.weights import flat_state, load_backbone, load_head
from longtail.registry import PartSpec, get, instantiate

__all__ = ["Start"]


@dataclasses.dataclass(frozen=True)
class Start:
    """Weights that take the place of what a recipe's first stage would have trained.

    Attributes:
        path: a run's folder, or a file of a state dictionary (safetensors, or ``torch.save`` read
            with weights only).
        about: what ``run.json`` of the folder says; empty for a file.
    """

    path: Path
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @staticmethod
    def find(path: str | Path) -> Start:
        """Look at the path.

        Raises:
            CheckpointError: nothing of the kind is there.
        """
        place = Path(path).expanduser()
        if place.is_dir():
            files = [place / "run.json", place / "model.safetensors"]
            if not all(f.is_file() for f in files):
                raise CheckpointError(
                    f"{place} holds no finished run",
                    "give the folder of a run that has ended (train --resume ends it), or a file of weights",
                )
            return Start(place, json.loads(files[0].read_text("utf-8")))
        if not place.is_file():
            raise CheckpointError(
                f"there is no run or file {place}",
                "give --from a run's folder or a file of weights",
            )
        return Start(place)

    @property
    def weights(self) -> Path:
        """The file with the weights."""
        return self.path / "model.safetensors" if self.about else self.path

    def identity(self) -> str:
        """A digest of the weights: two starts with equal digests are one."""
        with open(self.weights, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def stages(self, recipe: Recipe) -> tuple[Stage, ...]:
        """The recipe's stages after the first.

        Raises:
            ConfigError: nothing of the recipe is left.
        """
        rest = recipe.stages[1:]
        if not rest and not recipe.adjusters and not recipe.finish:
            raise ConfigError(
                f"recipe {recipe.name!r} has no second stage that could start from {self.path}",
                "leave --from out, or choose a recipe of two stages such as crt",
            )
        return rest

    def load(self, state: RunState, prior: Tensor | None) -> Tensor | None:
        """Put the weights into the state's network, as if the first stage had ended with them.

        Args:
            state: its network takes the weights; its stages are those that are left.
            prior: what the first stage's softmax would answer to.

        Returns:
            The prior that the raw softmax of the weights answers to.

        Raises:
            CheckpointError: weights of another network, with the keys that do not fit.
        """
        first = state.recipe.stages[0]
        found = self._own(state) if self.about else self._foreign(state)
        if not found and not _renewed(state):
            raise CheckpointError(
                f"{self.weights.name} holds no classifier of {state.stats.num_classes} classes, and "
                f"recipe {state.recipe.name!r} goes on with the one it starts from",
                "start from weights with a classifier of these classes, or choose a recipe that draws "
                "it anew, such as crt",
            )
        state.ends[first.name] = {k: v.clone() for k, v in state.network.state_dict().items()}
        state.datas[first.name] = state.data
        state.notes.append(f"stage {first.name!r} was not trained: its weights are those given")
        if state.validation() is not None and self._rows() != len(state.start):
            state.notes.append(
                "the weights given may have seen the validation rows: what is chosen on them is optimistic"
            )
        if self.about and not self.about["recipe"]["adjusters"]:
            own = self.about["effective_prior"]
            return None if own is None else torch.tensor(own, dtype=torch.float64)
        return prior

    def _rows(self) -> int:
        """How many training rows the weights are known to have seen (0: not known)."""
        return int(self.about["data"]["rows"]) if self.about else 0

    def _own(self, state: RunState) -> bool:
        """Weights of a run of ours; true where its classifier fits."""
        backbone = self.about["backbone"]
        if backbone != state.backbone:
            raise CheckpointError(
                f"the run {self.path} trained the backbone {backbone!r}, not {state.backbone!r}",
                f"give --backbone {backbone}",
            )
        theirs = split_state(load_tensors(self.weights)[0])["network"]
        mine = state.network.state_dict()
        same = self._same_classifier(state) and _same_structure(theirs, mine)
        trunk = {k for k in mine if not k.startswith(("head.", "projector."))}
        missing = sorted(trunk - set(theirs))
        missing += sorted(k for k in trunk & set(theirs) if theirs[k].shape != mine[k].shape)
        if missing:
            raise CheckpointError(
                f"the run {self.path} does not fit this network: {len(missing)} keys are missing or "
                f"of another shape: {', '.join(missing[:4])}",
                "start from a run of the same network on data of the same kind and size",
            )
        taken = trunk | {
            k for k in theirs if k.startswith("head.") and same and _fits(k, theirs, mine)
        }
        state.network.load_state_dict({**mine, **{k: theirs[k] for k in taken}})
        return bool(taken - trunk)

    def _same_classifier(self, state: RunState) -> bool:
        """Whether its classes are these, in this order, and its logits scaled as these are."""
        spec = PartSpec.from_data(self.about["recipe"]["head"])
        head = instantiate("heads", spec, in_features=2, num_classes=2)
        same_scale = head.scale == state.network.scale
        names = list(self.about["class_names"])
        return same_scale and names == list(state.dataset.class_names)

    def _foreign(self, state: RunState) -> bool:
        """Weights of another trainer; true where they hold a classifier that fits."""
        weights = flat_state(self._read())
        if not weights:
            raise CheckpointError(
                f"{self.path.name} holds no tensors", "give a file of a state dictionary"
            )
        load_backbone(state.network.backbone, weights)
        state.notes.append(
            f"weights of {self.path.name} were taken; inputs are standardised by this training set"
        )
        return load_head(state.network, weights)

    def _read(self) -> Any:
        if self.path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(self.path)
        try:
            return torch.load(self.path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
            said = " ".join(str(error).split())[:120]
            raise CheckpointError(
                f"{self.path.name} cannot be read with weights only: {said}",
                "save the state dictionary alone: torch.save(model.state_dict(), FILE)",
            ) from error


def _same_structure(theirs: Mapping[str, Tensor], mine: Mapping[str, Tensor]) -> bool:
    """Whether a structure that their classifier has beside its weights (a tree) is that of mine."""
    own, here = (state.get("head._extra_state") for state in (theirs, mine))
    return own is None or (here is not None and torch.equal(own.cpu(), here.cpu()))


def _fits(key: str, theirs: Mapping[str, Tensor], mine: Mapping[str, Tensor]) -> bool:
    return key in mine and mine[key].shape == theirs[key].shape


def _renewed(state: RunState) -> bool:
    """Whether the classifier is drawn or fitted anew before it is used."""
    specs = [*(s for stage in state.stages[:1] for s in stage.before)]
    specs += [] if state.stages else list(state.recipe.finish)
    return any(get("handovers", s.name).load().renews_head for s in specs)
