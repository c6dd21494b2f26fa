"""Scores on the nodes of a tree: log probabilities among siblings, sums along paths, cuts.

Shape legend: nodes ``0 .. C - 1`` are the classes, nodes ``C .. N - 1`` the inner nodes apart from
the root, parents before children; ``V = N - C + 1`` inner nodes with the root, inner number 0 is
the root and inner number ``i`` is node ``C + i - 1``; ``P`` is the longest path. Node scores are
``(N, B)``: a row a node, so that gathering and adding by node moves whole rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = [
    "node_consistency",
    "path_sums",
    "sampled_cut",
    "sampled_tree_loss",
    "sibling_log_softmax",
]


def sibling_log_softmax(scores: Tensor, parent: Tensor, inner: int) -> Tensor:
    """``log P(node | parent)``: a log-softmax within the children of each inner node.

    Args:
        scores: ``(N, B)`` float32 or wider.
        parent: ``(N,)`` inner number of each node's parent.
        inner: ``V``.

    Returns:
        ``(N, B)``.
    """
    rows = parent[:, None].expand_as(scores)
    with torch.no_grad():
        top = scores.new_full((inner, scores.shape[1]), -torch.inf)
        top = top.scatter_reduce(0, rows, scores, "amax").index_select(0, parent)
    shifted = scores - top
    total = torch.zeros_like(scores[:inner]).index_add(0, parent, shifted.exp())
    return shifted - total.log().index_select(0, parent)


def path_sums(scores: Tensor, parent: Tensor, levels: Sequence[int], classes: int) -> Tensor:
    """``z_n = sum of the scores on the path from below the root to n``, for all nodes.

    What a product with the codewords of all inner nodes gives, without a ``V x C`` matrix: one
    gather a level, then one for the classes.

    Args:
        scores: ``(N, B)``.
        parent: ``(N,)`` inner number of each node's parent.
        levels: inner nodes at depth 1, 2, ...
        classes: ``C``.

    Returns:
        ``(N, B)``; rows ``0 .. C - 1`` are the logits of the classes.
    """
    known = scores.new_zeros((1, scores.shape[1]))
    start = classes
    for size in levels:
        at = slice(start, start + size)
        known = torch.cat([known, scores[at] + known.index_select(0, parent[at])])
        start += size
    leaves = scores[:classes] + known.index_select(0, parent[:classes])
    return torch.cat([leaves, known[1:]])


def node_consistency(log_p: Tensor, target: Tensor, path: Tensor, depth: Tensor) -> Tensor:
    """Mean cross-entropy of the decisions on the path to the label: ``(B,)``.

    Args:
        log_p: ``(N, B)`` log probabilities among siblings.
        target: ``(B,)`` class ids.
        path: ``(C, P)`` nodes from below the root to the class, then the class again.
        depth: ``(C,)`` length of each path.
    """
    nodes, length = path[target], depth[target]
    columns = torch.arange(len(target), device=target.device)[:, None]
    on = torch.arange(path.shape[1], device=target.device) < length[:, None]
    taken = torch.where(on, log_p[nodes, columns], 0.0)
    return -taken.sum(1) / length


def sampled_cut(keep: Tensor, parent: Tensor, levels: Sequence[int], classes: int) -> Tensor:
    """The nodes at which a sampled tree ends: ``(N, B)`` bool, one on every path to a class.

    An inner node that is not kept ends the tree there, and stands for all classes below it.

    Args:
        keep: ``(V - 1, B)`` bool, for the inner nodes apart from the root, which is always kept.
        parent: ``(N,)``; ``levels`` and ``classes`` as in :func:`path_sums`.
    """
    grown = torch.ones_like(keep[:1]) if len(keep) else keep.new_ones((1, keep.shape[1]))
    start = 0
    for size in levels:
        above = parent[classes + start : classes + start + size]
        grown = torch.cat([grown, keep[start : start + size] & grown.index_select(0, above)])
        start += size
    seen = grown.index_select(0, parent)
    return torch.cat([seen[:classes], seen[classes:] & ~grown[1:]])


def sampled_tree_loss(sums: Tensor, cut: Tensor, target: Tensor, path: Tensor) -> Tensor:
    """``-z_v + log sum_{u in cut} e^{z_u}`` with ``v`` the node of the cut above the label: ``(B,)``.

    Args:
        sums: ``(N, B)`` path sums of all nodes.
        cut: ``(N, B)`` bool, of :func:`sampled_cut`.
        target: ``(B,)`` class ids.
        path: ``(C, P)`` nodes on the path to each class.
    """
    total = sums.masked_fill(~cut, -torch.inf).logsumexp(0)
    nodes = path[target]
    columns = torch.arange(len(target), device=target.device)
    first = cut[nodes, columns[:, None]].int().argmax(1)
    own = nodes.gather(1, first[:, None])[:, 0]
    return total - sums[own, columns]
