"""Weights of elsewhere: state dictionaries of other trainers put into a network of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from longtail.errors import CheckpointError
from longtail.models.backbones import Backbone
from longtail.models.networks import Network

__all__ = ["flat_state", "load_backbone", "load_head"]

_WRAPPERS = ("pieces.", "model.")
_HEADS = ("head", "fc", "linear", "classifier", "last_linear", "head.fc", "classifier.fc")
_SHOWN = 4


def flat_state(content: Any) -> dict[str, Tensor]:
    """All tensors of a loaded checkpoint under dotted names, however deep they lie.

    Args:
        content: a state dictionary, or dictionaries of such (``{"state_dict": ...}``).
    """
    return dict(_walk(content, ""))


def _walk(content: Any, path: str) -> Iterator[tuple[str, Tensor]]:
    for key, value in content.items() if isinstance(content, Mapping) else ():
        name = f"{path}.{key}".lstrip(".")
        if isinstance(value, Tensor):
            yield name, value
        else:
            yield from _walk(value, name)


def load_backbone(backbone: Backbone, state: Mapping[str, Tensor]) -> str:
    """Copy the weights of a backbone from a state dictionary of torchvision's, timm's or ours.

    Names may stand under any common prefix; what else the dictionary holds is left alone, but for
    keys inside a piece of ours (``layer1.5.conv1.weight``), which tell of another network. Within
    a piece our names are torchvision's (``conv1.weight``, ``layer1.0.conv1.weight`` ...).

    Args:
        backbone: the one the weights were trained for.
        state: name -> tensor.

    Returns:
        The prefix under which the weights were found.

    Raises:
        CheckpointError: keys that are missing, too many or of another shape, by name.
    """
    mine = backbone.state_dict()
    ours = {key: _bare(key) for key in mine}
    theirs = {key: _their_name(name) for key, name in ours.items()}
    both = [(*_prefix(set(n.values()), state), n) for n in (theirs, ours)]
    prefix, _, names = max(both, key=lambda found: found[1])
    found = {key: state.get(prefix + name) for key, name in names.items()}
    optional = [k for k, v in found.items() if v is None and k.endswith("num_batches_tracked")]
    missing = [names[k] for k, v in found.items() if v is None and k not in optional]
    other = [
        f"{names[k]} {tuple(v.shape)} in place of {tuple(mine[k].shape)}"
        for k, v in found.items()
        if v is not None and v.shape != mine[k].shape
    ]
    known, tops = set(names.values()), {n.partition(".")[0] for n in names.values()}
    inside = [k.removeprefix(prefix) for k in state if k.startswith(prefix)]
    more = [k for k in inside if k not in known and k.partition(".")[0] in tops]
    more = [k for k in more if not k.endswith("num_batches_tracked")]
    if missing or other or more:
        said = [f"{len(missing)} keys missing: {_few(missing)}"] if missing else []
        said += [f"{len(more)} keys of another network: {_few(more)}"] if more else []
        said += [f"{len(other)} of another shape: {_few(other)}"] if other else []
        raise CheckpointError(
            f"the weights do not fit {type(backbone).__name__}: {'; '.join(said)}",
            "name the backbone they were trained for with --backbone, at the same image size",
        )
    backbone.load_state_dict({k: mine[k] if v is None else v for k, v in found.items()})
    return prefix


def load_head(network: Network, state: Mapping[str, Tensor], prefix: str = "") -> bool:
    """Copy ``weight`` and ``bias`` of a linear or cosine classifier where one fits.

    A weight may lie transposed (``(D, C)``); a bias that is not there is zero.

    Args:
        network: its head has a ``weight (C, D)``.
        state: name -> tensor.
        prefix: where the backbone was found; of several classifiers the one nearest to it is taken.

    Returns:
        False where no classifier of this size is in the dictionary.
    """
    head = network.head
    own = head.state_dict()
    weight = own.get("weight")
    if weight is None:
        return False
    near = sorted(state, key=lambda n: -_shared(n, prefix))
    for name, value in ((n, state[n]) for n in near):
        path, _, last = name.rpartition(".")
        if last != "weight" or not _is_head(path) or value.ndim != 2:
            continue
        fits, turned = value.shape == weight.shape, value.T.shape == weight.shape
        if fits or turned:
            own["weight"] = value if fits else value.T
            if "bias" in own:
                given = state.get(f"{path}.bias")
                own["bias"] = torch.zeros_like(own["bias"]) if given is None else given
            head.load_state_dict(own)
            return True
    return False


def _shared(one: str, other: str) -> int:
    """How many leading parts two dotted names have in common."""
    pairs = enumerate(zip(one.split("."), other.split("."), strict=False))
    return next((i for i, (a, b) in pairs if a != b), 0)


def _is_head(path: str) -> bool:
    return any(path == h or path.endswith(f".{h}") for h in _HEADS)


def _bare(key: str) -> str:
    for wrapper in _WRAPPERS:
        key = key.removeprefix(wrapper)
    return key


def _their_name(name: str) -> str:
    """``stem.conv1.weight`` is ``conv1.weight`` elsewhere, ``layer4_body.0`` is ``layer4.0``."""
    return name.removeprefix("stem.").replace("_body.", ".", 1)


def _prefix(names: set[str], state: Mapping[str, Tensor]) -> tuple[str, int]:
    """The prefix under which most of the names are found (the shortest of equals); how many."""
    hits: dict[str, int] = {"": 0}
    for key in state:
        for name in (key, *(key[i + 1 :] for i, c in enumerate(key) if c == ".")):
            if name in names:
                prefix = key.removesuffix(name)
                hits[prefix] = hits.get(prefix, 0) + 1
    best = max(sorted(hits, key=len), key=lambda p: hits[p])
    return best, hits[best]


def _few(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
