"""Starting at a recipe's second stage, from weights that were trained before."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from longtail.engine.checkpoint import load_tensors, split_state
from longtail.engine.stage import Recipe, Stage
from longtail.engine.start_head import adopt, plain_answers, rebuilt
from longtail.engine.state import RunState
from longtail.errors import CheckpointError, ConfigError
from longtail.models import Head
from longtail.models.weights import flat_state, load_backbone, load_head
from longtail.registry import PartSpec, get

__all__ = ["Start"]

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
#: what is read of a run's ``run.json``
_READ = (
    "backbone", "class_names", "network_prior", "network_weights", "data.rows", "recipe.head.part",
)  # fmt: skip


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
            return Start(place, _about(files[0]))
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
        again = self._again(state)
        if self.about:
            self._own(state, again=again)
        else:
            self._foreign(state)
        state.ends[first.name] = {k: v.clone() for k, v in state.network.state_dict().items()}
        state.datas[first.name] = state.data
        if again:
            state.notes.append("the correction in the run given is left out: it is learned anew")
        state.notes.append(f"stage {first.name!r} was not trained: its weights are those given")
        if state.validation() is not None and self._rows() != len(state.start):
            state.notes.append(
                "the weights given may have seen the validation rows: what is chosen on them is optimistic"
            )
        if not self.about:
            return prior
        state.weights = _numbers(self.about["network_weights"])
        return prior if again else _numbers(self.about["network_prior"])

    def _rows(self) -> int:
        """How many training rows the weights are known to have seen (0: not known)."""
        return int(self.about["data"]["rows"]) if self.about else 0

    def _again(self, state: RunState) -> bool:
        """Whether a finished run's correction of a frozen classifier is to be learned once more."""
        if not self.about or self.about["recipe"].get("name") != state.recipe.name:
            return False
        named = [t.strip() for s in state.stages for t in s.trains.split(",")]
        return bool(named) and all(
            t.startswith("head.") and t not in ("head.weight", "head.bias") for t in named
        )

    def _own(self, state: RunState, *, again: bool) -> None:
        """Weights of a run of ours."""
        backbone = self.about["backbone"]
        if backbone != state.backbone:
            raise CheckpointError(
                f"the run {self.path} trained the backbone {backbone!r}, not {state.backbone!r}",
                f"give --backbone {backbone}",
            )
        theirs = split_state(load_tensors(self.weights)[0]).get("network", {})
        mine = state.network.state_dict()
        trunk, there = (
            {k for k in keys if not k.startswith(("head.", "projector."))}
            for keys in (mine, theirs)
        )
        wrong = sorted(trunk ^ there)
        wrong += sorted(k for k in trunk & there if theirs[k].shape != mine[k].shape)
        if wrong:
            raise CheckpointError(
                f"the run {self.path} does not fit this network: {len(wrong)} keys are missing, left "
                f"over or of another shape: {', '.join(wrong[:4])}",
                "start from a run of the same network on data of the same kind and size",
            )
        _finite(self.path / self.weights.name, theirs)
        state.network.load_state_dict({**mine, **{k: theirs[k] for k in trunk}})
        if not _renewed(state):
            given = {k.removeprefix("head."): v for k, v in theirs.items() if k.startswith("head.")}
            self._own_head(state, given, again=again)

    def _own_head(self, state: RunState, given: dict[str, Tensor], *, again: bool) -> None:
        """The run's classifier, or an error that says of which kind it is."""
        spec, head = PartSpec.from_data(self.about["recipe"]["head"]), state.network.head
        if list(self.about["class_names"]) != list(state.dataset.class_names):
            raise self._no_head(state, "holds no classifier of these classes in this order")
        if isinstance(head, Head):
            old = rebuilt(spec, given, head.in_features, state.stats.num_classes)
            taken = adopt(head, old, anew=again and spec.name == state.recipe.head.name)
        else:
            own = head.state_dict()
            taken = spec == state.recipe.head and own.keys() == given.keys()
            taken = taken and all(own[k].shape == v.shape for k, v in given.items())
            if taken:
                head.load_state_dict(given)
        if not taken:
            same = spec == state.recipe.head
            wanted = "one of the same structure" if same else state.recipe.head
            raise self._no_head(state, f"holds a classifier of the kind {spec}, not {wanted}")

    def _no_head(self, state: RunState, said: str) -> CheckpointError:
        return CheckpointError(
            f"{self.path.name} {said}, and recipe {state.recipe.name!r} goes on with the one it "
            "starts from",
            "start from weights with such a classifier, or choose a recipe that draws it anew, such "
            "as crt",
        )

    def _foreign(self, state: RunState) -> None:
        """Weights of another trainer."""
        weights = flat_state(self._read())
        if not weights:
            raise CheckpointError(
                f"{self.path.name} holds no tensors", "give a file of a state dictionary"
            )
        _finite(self.path, weights)
        prefix = load_backbone(state.network.backbone, weights)
        state.notes.append(
            f"weights of {self.path.name} were taken; inputs are standardised by this training set"
        )
        found = load_head(state.network, weights, prefix)
        if _renewed(state):
            return
        if not found:
            classes = state.stats.num_classes
            raise self._no_head(state, f"holds no classifier of {classes} classes")
        if not plain_answers(state.network.head):
            raise self._no_head(state, f"holds a linear classifier, not {state.recipe.head}")

    def _read(self) -> Any:
        try:
            if self.path.suffix == ".safetensors":
                return load_file(self.path)
            return torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # what a damaged pickle raises has no common class
            said = " ".join(_COLOUR.sub("", str(error)).split())[:120]
            said = (
                said if len(said.split()) > 1 else f"it holds no tensors ({type(error).__name__})"
            )
            raise CheckpointError(
                f"{self.path.name} cannot be read with weights only: {said}",
                "it may be damaged; save the state dictionary alone: torch.save(model.state_dict(), FILE)",
            ) from error


def _about(file: Path) -> dict[str, Any]:
    """What ``run.json`` says, or an error where it is not whole."""
    try:
        about = json.loads(file.read_text("utf-8"))
        for path in _READ:
            value = about
            for key in path.split("."):
                value = value[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:120]
        raise CheckpointError(
            f"{file} is not whole: {said}", "start from a run whose folder is whole"
        ) from error
    return dict(about)


def _numbers(value: Any) -> Tensor | None:
    return None if value is None else torch.tensor(value, dtype=torch.float64)


def _finite(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Refuse weights that are NaN or infinite."""
    bad = [k for k, v in weights.items() if v.is_floating_point() and not v.isfinite().all()]
    if bad:
        raise CheckpointError(
            f"{path} holds NaN or infinite weights: {', '.join(bad[:4])}",
            "its training went wrong; start from another checkpoint",
        )


def _renewed(state: RunState) -> bool:
    """Whether the classifier is drawn or fitted anew before anything reads it."""
    specs = [*(s for stage in state.stages[:1] for s in stage.before)]
    specs += [] if state.stages else list(state.recipe.finish)
    for spec in specs:
        handover = get("handovers", spec.name).load()
        if handover.reads_head or handover.renews_head:
            return not handover.reads_head
    return False
