"""Which classifier the weights that a run starts from give to its network."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from longtail.errors import CheckpointError
from longtail.models import CosineHead, FittedHead, Head, LinearHead, seeded
from longtail.registry import PartSpec, instantiate

__all__ = ["adopt", "plain_answers", "rebuilt"]

_PROBES = 16
_TOLERANCE = 1e-4


def rebuilt(spec: PartSpec, state: Mapping[str, Tensor], features: int, classes: int) -> Head:
    """The classifier of a finished run, with its weights.

    Args:
        spec: its part.
        state: its state dictionary.
        features: ``D``, where the state has no ``weight (C, D)``.
        classes: ``C``.

    Raises:
        CheckpointError: a state that is not one of such a classifier.
    """
    weight = state.get("weight")
    width = weight.shape[1] if weight is not None and weight.ndim == 2 else features
    with seeded(0):
        head: Head = instantiate("heads", spec, in_features=width, num_classes=classes)
    try:
        head.load_state_dict(dict(state))
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the weights given are not those of a {spec.name} head: {' '.join(str(error).split())[:160]}",
            "start from a run whose folder is whole",
        ) from error
    return head


def adopt(mine: Head, theirs: Head, *, anew: bool = False) -> bool:
    """Give a classifier the weights of another where the logits stay the same.

    Tried in turn: ``W h + b`` folded into weight and bias, which leaves a correction (scales,
    margins) at the identity; the whole state; the ``W h + b`` by which a fitted head answers. What
    answers otherwise in eval mode is not taken.

    Args:
        mine: changed in place, or left as it was.
        theirs: the one that was trained.
        anew: take weight and bias alone: the correction that was learned on them begins again.

    Returns:
        Whether the weights were taken.
    """
    if mine.in_features != theirs.in_features or mine.num_classes != theirs.num_classes:
        return False
    wanted = _plain(theirs) if anew else theirs
    for state in _candidates(mine, theirs, anew=anew):
        trial = copy.deepcopy(mine).cpu()
        trial.load_state_dict(state)
        if _alike(trial, wanted):
            mine.load_state_dict(state)
            return True
    return False


def plain_answers(head: Head) -> bool:
    """Whether a head is the linear (or a cosine) classifier of its own weight and bias."""
    return isinstance(head, CosineHead) or _alike(copy.deepcopy(head).cpu(), _plain(head))


def _candidates(mine: Head, theirs: Head, *, anew: bool) -> Iterator[dict[str, Any]]:
    own, given = mine.state_dict(), theirs.state_dict()
    if anew:
        yield {**own, **{k: v for k, v in given.items() if k in ("weight", "bias")}}
        return
    folded = theirs.affine()
    if folded is not None and own["weight"].shape == folded[0].shape:
        yield _folded(own, *folded)
    if own.keys() == given.keys() and all(own[k].shape == given[k].shape for k in own):
        yield given
    if isinstance(theirs, FittedHead) and own["weight"].shape == theirs.weight.shape:
        yield _folded(own, *_measured(theirs))


def _folded(own: dict[str, Any], weight: Tensor, bias: Tensor | None) -> dict[str, Any]:
    """A state whose linear part is ``W h + b``."""
    state = {**own, "weight": weight.detach().to(own["weight"])}
    if "bias" in own:
        state["bias"] = torch.zeros_like(own["bias"]) if bias is None else bias.detach()
    return state


@torch.no_grad()
def _measured(head: Head) -> tuple[Tensor, Tensor]:
    """``W`` and ``b`` of a head that answers ``W h + b`` in eval mode, read off its logits."""
    exact = copy.deepcopy(head).cpu().double().eval()
    bias = exact(torch.zeros(1, head.in_features, dtype=torch.float64))[0]
    unit = exact(torch.eye(head.in_features, dtype=torch.float64))
    return (unit - bias).T, bias


def _plain(head: Head) -> Head:
    """The linear classifier of a head's weight and bias."""
    with seeded(0):
        plain = LinearHead(head.in_features, head.num_classes, bias=head.bias is not None)
    state = {k: v for k, v in head.state_dict().items() if k in ("weight", "bias")}
    plain.load_state_dict(state)
    return plain


@torch.no_grad()
def _alike(one: Head, other: Head) -> bool:
    """Whether two heads give the same logits of the same features in eval mode."""
    heads = [copy.deepcopy(h).cpu().double().eval() for h in (one, other)]
    generator = torch.Generator().manual_seed(0)
    features = torch.rand((_PROBES, one.in_features), generator=generator, dtype=torch.float64)
    first, second = (h(features) for h in heads)
    size = second.abs().max().clamp_min(1e-12)
    return bool((first - second).abs().max() <= _TOLERANCE * size)
