"""The classifier that decides node by node of a taxonomy, and stops where it is not sure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from longtail.checks import is_finite
from longtail.errors import ConfigError
from longtail.functional.taxonomy import path_sums, sibling_log_softmax
from longtail.models.heads import Head
from longtail.models.taxonomy import Taxonomy, star

__all__ = ["TaxonomicHead"]


class TaxonomicHead(Head):
    """``z_c = sum of o_n over the nodes n on the path to class c``, ``o = W h + b`` over all nodes.

    One linear layer scores the children of all inner nodes at once. The tree is a star (a plain
    linear classifier) until :meth:`plant`; it travels in the state dict, so a checkpoint is all
    that a prediction needs.

    At test, with gates ``g_v = [max softmax(o_v) >= threshold]``, a prediction goes down the path
    of the predicted class as long as the gates are open; where it ends above the class it is
    refused there. With ``threshold = 0`` all gates are open.

    Args:
        in_features: ``D``.
        num_classes: ``C``.
        threshold: least confidence of a decision, in ``[0, 1]``.

    Shapes:
        ``(B, D)`` to ``(B, C)``; node scores ``(N, B)`` as in ``longtail.functional.taxonomy``.

    Reference: Wu et al., ECCV 2020 (Deep-RTC).
    """

    parent: Tensor
    path: Tensor
    depth: Tensor
    size: Tensor
    column_names = ("rejected", "node")
    partners = ({"before": "plant_taxonomy", "objective": "taxonomic"},)

    def __init__(self, in_features: int, num_classes: int, *, threshold: float = 0.0) -> None:
        super().__init__(in_features, num_classes)
        self.threshold = 0.0
        self.refuse_below(threshold)
        self.bias = nn.Parameter(torch.empty(num_classes))
        self._plant(star(num_classes))
        self.reset_parameters()

    def refuse_below(self, threshold: float) -> None:
        """Ask another confidence of every decision."""
        if not is_finite(threshold) or not 0 <= threshold <= 1:
            raise ConfigError(
                f"a threshold of confidence lies in [0, 1], not {threshold}",
                "try threshold=0.7; 0 refuses nothing",
            )
        self.threshold = float(threshold)

    # -- the tree ------------------------------------------------------------------------------

    @torch.no_grad()
    def plant(self, taxonomy: Taxonomy) -> None:
        """Decide along this tree from now on; the logits of the classes stay what they are.

        An inner node gets the mean weights of the classes below it, less those of its parent, and
        a class what is left: along each path they add up to the weights the class had.
        """
        if taxonomy.num_classes != self.num_classes:
            raise ConfigError(
                f"a taxonomy of {taxonomy.num_classes} classes for {self.num_classes}",
                "give one that has the classes of the data as leaves",
            )
        pairs = [(self.weight, self.inner), (self.bias[:, None], self.inner_bias[:, None])]  # type: ignore[index]
        wholes = [self.sums(torch.cat(pair))[: self.num_classes] for pair in pairs]
        self._plant(taxonomy)
        pairs = [(self.weight, self.inner), (self.bias[:, None], self.inner_bias[:, None])]  # type: ignore[index]
        for (leaves, inner), whole in zip(pairs, wholes, strict=True):
            own = self._split(whole)
            leaves.copy_(own[: self.num_classes])
            inner.copy_(own[self.num_classes :])

    def _split(self, whole: Tensor) -> Tensor:
        """``(C, k)`` numbers of the classes as ``(N, k)`` of the nodes that add up to them."""
        places = torch.arange(self.path.shape[1], device=whole.device)
        on = places < self.depth[:, None]
        rows = torch.arange(self.num_classes, device=whole.device).repeat_interleave(self.depth)
        means = whole.new_zeros((len(self.parent), whole.shape[1]))
        means = means.index_add(0, self.path[on], whole[rows]) / self.size[:-1, None]
        above = torch.cat([torch.zeros_like(means[:1]), means[self.num_classes :]])
        return means - above[self.parent]

    def _plant(self, taxonomy: Taxonomy) -> None:
        self.taxonomy, device = taxonomy, self.weight.device
        classes, inner = taxonomy.num_classes, taxonomy.inner
        self.levels = taxonomy.levels()
        paths = [taxonomy.path(c) for c in range(classes)]
        longest = max(map(len, paths))
        rows = [p + [p[-1]] * (longest - len(p)) for p in paths]
        below = torch.zeros(classes + inner + 1, dtype=torch.int64)
        for p in paths:
            below[p] += 1
        below[-1] = classes
        tables = {
            "parent": torch.tensor(taxonomy.parents),
            "path": torch.tensor(rows),
            "depth": torch.tensor([len(p) for p in paths]),
            "size": below,
        }
        for name, table in tables.items():
            self.register_buffer(name, table.to(device), persistent=False)
        self.inner = nn.Parameter(self.weight.new_empty((inner, self.in_features)))
        self.inner_bias = nn.Parameter(self.weight.new_empty(inner))

    def get_extra_state(self) -> Tensor:
        """The tree as bytes, so that a checkpoint holds tensors only."""
        text = self.taxonomy.to_json().encode()
        return torch.frombuffer(bytearray(text), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Nothing: the tree was planted before the weights were read."""

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *rest: Any, **more: Any
    ) -> None:
        """Plant the tree that the weights belong to, where it is another, then read them."""
        saved = state_dict.get(f"{prefix}_extra_state")
        if saved is not None:
            taxonomy = Taxonomy.from_json(saved.cpu().numpy().tobytes().decode())
            if taxonomy != self.taxonomy and taxonomy.num_classes == self.num_classes:
                self._plant(taxonomy)
        super()._load_from_state_dict(state_dict, prefix, *rest, **more)

    def reset_parameters(self) -> None:
        """Uniform in ``+-1/sqrt(D)``."""
        bound = 1 / math.sqrt(self.in_features)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    # -- what it says --------------------------------------------------------------------------

    def node_scores(self, features: Tensor) -> Tensor:
        """``(N, B)`` scores ``o`` of all nodes below the root, float32 or wider."""
        turned = features.t()
        leaves = torch.addmm(self.bias[:, None], self.weight, turned)  # type: ignore[index]
        inner = torch.addmm(self.inner_bias[:, None], self.inner, turned)
        scores = torch.cat([leaves, inner])
        return scores.to(torch.promote_types(scores.dtype, torch.float32))

    def sums(self, scores: Tensor) -> Tensor:
        """``(N, B)`` path sums of node scores; rows ``0 .. C - 1`` are the logits."""
        return path_sums(scores, self.parent, self.levels, self.num_classes)

    def log_probabilities(self, scores: Tensor) -> Tensor:
        """``(N, B)`` ``log P(node | parent)``."""
        return sibling_log_softmax(scores, self.parent, self.taxonomy.inner + 1)

    def forward(self, features: Tensor) -> Tensor:
        """Logits of the classes, all gates open."""
        return self.sums(self.node_scores(features))[: self.num_classes].t()

    def stops(self, features: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
        """Where predictions end: node ``(B,)`` (``N`` is the root) and steps from the root ``(B,)``.

        Args:
            features: ``(B, D)``.
            predicted: ``(B,)`` class ids.
        """
        log_p = self.log_probabilities(self.node_scores(features))
        rows = self.parent[:, None].expand_as(log_p)
        best = log_p.new_full((self.taxonomy.inner + 1, len(features)), -torch.inf)
        gates = best.scatter_reduce(0, rows, log_p, "amax").exp() >= self.threshold
        nodes = self.path[predicted]
        open_ = gates[self.parent[nodes], torch.arange(len(nodes), device=nodes.device)[:, None]]
        steps = torch.minimum(open_.int().cumprod(1).sum(1), self.depth[predicted])
        at = nodes.gather(1, (steps - 1).clamp_min(0)[:, None])[:, 0]
        return torch.where(steps > 0, at, len(self.parent)), steps

    def columns(self, features: Tensor, predicted: Tensor) -> dict[str, list[str]]:
        """For every row whether its class is refused, and the node at which it ends."""
        node, _ = self.stops(features, predicted)
        names = self.taxonomy.names
        return {
            "rejected": [str(v).lower() for v in (node != predicted).tolist()],
            "node": [names[n] for n in node.tolist()],
        }

    def measures(self, features: Tensor, predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
        """``(B,)`` numbers whose means say how well it stops.

        ``bits`` are the correctly predicted ones: a node above the label with ``k`` of the ``C``
        classes below it counts ``1 - k / C``, the class itself 1, a wrong node 0.
        """
        node, steps = self.stops(features, predicted)
        above = (self.path[target] == node[:, None]).any(1) | (node == len(self.parent))
        size = self.size[node].double()
        bits = torch.where(size > 1, 1 - size / self.num_classes, 1.0)
        return {
            "leaf_accuracy": (predicted == target).double(),
            "refused": (node != predicted).double(),
            "depth": steps.double(),
            "node_accuracy": above.double(),
            "correctly_predicted_bits": above * bits,
            "threshold": torch.full_like(bits, self.threshold),
        }
