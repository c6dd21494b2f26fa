"""A cascade of networks: a root decides between groups of classes, leaves within them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from longtail.checks import is_finite
from longtail.errors import ConfigError
from longtail.models.networks import Network
from longtail.types import Outputs

__all__ = ["TreeNetwork", "cascade_log_probabilities"]


def cascade_log_probabilities(
    root: Tensor, leaves: Tensor, group: Tensor, groups: int, margin: float | None = None
) -> Tensor:
    """``log P(c) = log P_root(group of c) + log P_leaf(c | group of c)``.

    The score of a group is ``g = logsumexp_{c in S} z_c`` of the root. With ``margin`` only
    groups with ``g >= max g - margin`` are kept (0: the best one alone); a class of a dropped
    group gets the lowest finite number.

    Args:
        root: ``(B, C)`` logits of the root.
        leaves: ``(B, C)``: column ``c`` holds the logit of ``c`` by the leaf of its group (a group
            without a leaf: the root's).
        group: ``(C,)`` group of each class, 0-based.
        groups: their number.
        margin: pruning margin, or ``None`` for soft routing.

    Returns:
        ``(B, C)`` log probabilities; over all classes the probabilities add up to 1.

    Reference: after Ouyang et al., CVPR 2016.
    """
    member = nn.functional.one_hot(group, groups).to(torch.bool)  # (C, G)
    score = _group_logsumexp(root, member)
    if margin is not None:
        keep = score >= score.max(1, keepdim=True).values - margin
        score = score.masked_fill(~keep, torch.finfo(score.dtype).min)
    path = score.log_softmax(1).index_select(1, group)
    within = leaves - _group_logsumexp(leaves, member).index_select(1, group)
    return (path + within).clamp(min=torch.finfo(root.dtype).min)


def _group_logsumexp(logits: Tensor, member: Tensor) -> Tensor:
    """``(B, C)`` and ``(C, G)`` to ``(B, G)``."""
    low = torch.finfo(logits.dtype).min
    return torch.where(member, logits[:, :, None], low).logsumexp(1)


class TreeNetwork(Network):
    """Root and leaf networks; the logits are log probabilities.

    Every class that no group names is a group of its own. All leaves see all rows.

    Args:
        root: a network over all ``C`` classes.
        leaves: one network over all ``C`` classes a group (only the columns of its group are
            read); ``None``: the root decides within the group.
        groups: class ids of each group.
        num_classes: ``C``.
        margin: see :func:`cascade_log_probabilities`.

    Shapes:
        ``logits (B, C)`` log probabilities, ``features (B, D)`` of the root.

    Reference: after Ouyang et al., CVPR 2016 (hierarchical feature learning).
    """

    group: Tensor
    source: Tensor
    root: Network
    leaves: nn.ModuleList

    def __init__(
        self,
        root: Network,
        leaves: Sequence[Network | None],
        groups: Sequence[Sequence[int]],
        num_classes: int,
        *,
        margin: float | None = None,
    ) -> None:
        nn.Module.__init__(self)
        _check_groups(groups, leaves, num_classes)
        if margin is not None and (not is_finite(margin) or margin < 0):
            raise ConfigError(
                f"margin must be 0 or more, not {margin}", "leave it out for soft routing"
            )
        self.margin, self.num_classes, self.features = margin, num_classes, root.features
        self.root = root
        self.leaves = nn.ModuleList(leaf for leaf in leaves if leaf is not None)
        named = [tuple(int(c) for c in g) for g in groups]
        rest = sorted(set(range(num_classes)) - {c for g in named for c in g})
        self.groups = (*named, *((c,) for c in rest))
        group, source = [0] * num_classes, [0] * num_classes
        number = 0
        for g, members in enumerate(self.groups):
            has_leaf = g < len(leaves) and leaves[g] is not None
            number += has_leaf
            for c in members:
                group[c], source[c] = g, number if has_leaf else 0
        self.register_buffer("group", torch.tensor(group))
        self.register_buffer("source", torch.tensor(source))

    @property
    def scale(self) -> float | None:
        return None

    @property
    def cuts(self) -> tuple[str, ...]:
        return ()

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters of the classifiers of all nodes."""
        nodes = [self.root, *cast("list[Network]", list(self.leaves))]
        return [p for node in nodes for p in node.head_parameters()]

    def forward(self, x: Tensor, *, features_only: bool = False) -> Outputs:
        """Log probabilities of a batch."""
        top: Outputs = self.root(x, features_only=features_only)
        if features_only:
            return top
        nodes = torch.stack([top.logits, *(leaf(x).logits for leaf in self.leaves)]).float()
        at = self.source.expand(1, len(x), -1)
        chosen = nodes.gather(0, at)[0]
        out = cascade_log_probabilities(nodes[0], chosen, self.group, len(self.groups), self.margin)
        return Outputs(out, top.features, projection=top.projection)

    def classify(self, features: Tensor) -> Tensor:
        raise ConfigError(
            "a tree has no logits of features alone: every leaf has features of its own",
            "use a recipe with one network for methods that change features",
        )

    def forward_to(self, x: Tensor, cut: str) -> Tensor:
        raise ConfigError(f"a tree cannot be cut at {cut!r}", "use a recipe with one network")

    def forward_from(self, h: Tensor, cut: str) -> Outputs:
        raise ConfigError(f"a tree cannot be cut at {cut!r}", "use a recipe with one network")


def _check_groups(
    groups: Sequence[Sequence[int]], leaves: Sequence[Network | None], num_classes: int
) -> None:
    named = [int(c) for g in groups for c in g]
    if any(not len(g) for g in groups) or len(set(named)) != len(named):
        raise ConfigError("groups of classes must be non-empty and disjoint", f"got {groups}")
    if any(not 0 <= c < num_classes for c in named):
        raise ConfigError(f"groups name a class outside 0-{num_classes - 1}", f"got {groups}")
    if len(leaves) != len(groups):
        raise ConfigError(
            f"{len(leaves)} leaves for {len(groups)} groups", "give one a group, None for one class"
        )
