"""Building a network from part specs, its weights drawn from a seed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from longtail import registry
from longtail.checks import is_whole
from longtail.errors import ConfigError
from longtail.models.backbones import Backbone
from longtail.models.inputs import InputSpec, build_normalise
from longtail.models.neck import Neck, NeckNetwork
from longtail.models.networks import (
    Branches,
    ExpertNetwork,
    Network,
    SingleNetwork,
    TwoBranchNetwork,
    expert_cut,
    need_last_block,
)
from longtail.models.tree import TreeNetwork
from longtail.registry import PartSpec, part

__all__ = ["NetworkParts", "build_backbone", "build_network", "seeded"]

_SEEDING = threading.RLock()


class NetworkParts:
    """What a network is made of; every call makes a fresh piece from torch's generator."""

    def __init__(
        self,
        input_spec: InputSpec,
        backbone: str,
        num_classes: int,
        head: PartSpec,
        projector: PartSpec | None,
        backbone_options: Mapping[str, Any],
    ) -> None:
        self.input_spec, self.num_classes = input_spec, num_classes
        self.name, self.options = backbone, dict(backbone_options)
        self._head, self._projector = head, projector

    def normalise(self) -> nn.Module:
        """The first layer."""
        return build_normalise(self.input_spec)

    def backbone(self) -> Backbone:
        """The backbone."""
        return build_backbone(self.name, self.input_spec, **self.options)

    def head(self, features: int) -> nn.Module:
        """A classifier for ``features`` inputs."""
        return _head(self._head, features, self.num_classes)

    def projector(self, features: int) -> nn.Module | None:
        """The projector, where the recipe has one."""
        spec = self._projector
        return None if spec is None else _head(spec, features, self.num_classes)


def _head(spec: PartSpec, features: int, num_classes: int) -> nn.Module:
    made = registry.instantiate("heads", spec, in_features=features, num_classes=num_classes)
    assert isinstance(made, nn.Module)
    return made


def single(parts: NetworkParts) -> SingleNetwork:
    """One backbone, one head."""
    backbone = parts.backbone()
    d = backbone.features
    return SingleNetwork(parts.normalise(), backbone, parts.head(d), parts.projector(d), d)


def neck(parts: NetworkParts, *, width: int | None = None, normalise: bool = True) -> NeckNetwork:
    """One backbone, a neck (projection, BatchNorm, length one), one head.

    Args:
        parts: what to build from.
        width: features after a projection; ``None``: as the backbone gives them, widened to
            ``C - 1`` where they are fewer.
        normalise: scale features to length one.
    """
    backbone = parts.backbone()
    d, needed = backbone.features, parts.num_classes - 1
    made = Neck(d, needed if width is None and d < needed else width, normalise=normalise)
    p = made.features
    return NeckNetwork(parts.normalise(), backbone, made, parts.head(p), parts.projector(p))


def experts(parts: NetworkParts, *, count: int = 3, cut: str = "layer1") -> ExpertNetwork:
    """``count`` experts that share the pieces up to ``cut``.

    Args:
        parts: what to build from.
        count: ``E``, at least 2.
        cut: last shared piece; a backbone without ``layer1`` is cut after its first piece.
    """
    if not is_whole(count) or count < 2:
        raise ConfigError(f"experts need a count of at least 2, not {count}", "try count=3")
    backbone = parts.backbone()
    trunk = Branches(backbone, expert_cut(backbone, cut), count)
    d = backbone.features
    heads = nn.ModuleList(parts.head(d) for _ in range(count))
    return ExpertNetwork(parts.normalise(), trunk, heads, parts.projector(d), d)


def two_branch(parts: NetworkParts) -> TwoBranchNetwork:
    """Two copies of the last block on a shared trunk, one head on both."""
    backbone = parts.backbone()
    trunk = Branches(backbone, need_last_block(backbone), 2)
    d = 2 * backbone.features
    return TwoBranchNetwork(parts.normalise(), trunk, parts.head(d), parts.projector(d), d)


def tree(
    parts: NetworkParts,
    *,
    groups: Sequence[Sequence[int]] = (),
    leaves: Sequence[bool] | None = None,
    margin: float | None = None,
) -> TreeNetwork:
    """Root and leaves, all :func:`single`.

    Args:
        parts: what to build from.
        groups: class ids of each group; a class left out is a group of its own.
        leaves: which groups have a network; ``None``: those with two classes or more.
        margin: pruning margin, or ``None`` for soft routing.
    """
    has = [len(g) > 1 for g in groups] if leaves is None else list(leaves)
    root = single(parts)
    made = [single(parts) if wanted else None for wanted in has]
    return TreeNetwork(root, made, groups, parts.num_classes, margin=margin)


def build_backbone(name: str, input_spec: InputSpec, **options: Any) -> Backbone:
    """A backbone by name for one kind of input, its weights from torch's generator.

    ``timm:NAME`` asks the package timm for a model.
    """
    record = registry.get("backbones", name.split(":", 1)[0])
    if input_spec.kind not in record.modalities:
        fitting = [r.name for r in registry.records("backbones") if input_spec.kind in r.modalities]
        raise ConfigError(
            f"backbone {name!r} works on {' and '.join(record.modalities)}, not on {input_spec.kind}",
            f"choose one of: {', '.join(fitting)}",
        )
    extra = dict(options)
    if ":" in name:
        extra["model"] = name.split(":", 1)[1]
    if input_spec.kind == "text" and input_spec.buckets:
        extra.setdefault("buckets", input_spec.buckets)
    spec = part(record.name, **extra)
    made = registry.instantiate("backbones", spec, input_shape=input_spec.encoded_shape)
    assert isinstance(made, Backbone)
    return made


def build_network(
    spec: PartSpec | str,
    *,
    input_spec: InputSpec,
    backbone: str,
    num_classes: int,
    head: PartSpec | str = "linear",
    projector: PartSpec | str | None = None,
    seed: int = 0,
    backbone_options: Mapping[str, Any] | None = None,
) -> Network:
    """A network with weights drawn from ``seed``; the global generator is left as it was.

    Args:
        spec: of kind ``networks``: ``single``, ``experts(count=3)``, ``two_branch``, ``tree``.
        input_spec: what the network is fed.
        backbone: name of kind ``backbones``, or ``timm:NAME``.
        num_classes: ``C``.
        head: of kind ``heads``.
        projector: of kind ``heads``, or ``None``.
        seed: same seed, same weights, on every machine.
        backbone_options: hyper-parameters of the backbone.
    """
    specs = [part(s) if isinstance(s, str) else s for s in (spec, head)]
    side = part(projector) if isinstance(projector, str) else projector
    parts = NetworkParts(input_spec, backbone, num_classes, specs[1], side, backbone_options or {})
    with seeded(seed):
        made = registry.instantiate("networks", specs[0], parts=parts)
    assert isinstance(made, Network)
    return made


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's generator on the CPU under a seed, and as it was afterwards; one thread at a time."""
    with _SEEDING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
