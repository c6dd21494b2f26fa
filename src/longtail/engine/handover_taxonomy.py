"""Before a stage: give the classifier the tree that it decides along."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from longtail.checks import is_whole
from longtail.data.taxonomies import read_taxonomy
from longtail.engine.handover import Handover, class_means
from longtail.engine.state import RunState
from longtail.errors import ConfigError
from longtail.models import TaxonomicHead, Taxonomy
from longtail.models.taxonomy import grow

__all__ = ["PlantTaxonomy", "cluster_classes"]

ROOT = "all classes"
SHOWN = 3


class PlantTaxonomy(Handover):
    """Plant a taxonomy in the head; its logits stay what they are.

    Without a taxonomy, one is clustered from the class means of the model as it stands. The tree
    becomes part of the model's state: a run that goes on reads it from its own folder.

    Args:
        taxonomy: ``"cifar100"``, a file (see ``longtail.data.taxonomies``), or ``None``.
        branching: children of a clustered node, about.
    """

    def __init__(self, taxonomy: str | None = None, branching: int = 4) -> None:
        if not is_whole(branching) or branching < 2:
            raise ConfigError(f"a node branches in 2 or more, not {branching}", "try branching=4")
        self.taxonomy, self.branching = taxonomy, branching

    def __call__(self, state: RunState) -> None:
        head = state.network.head
        if not isinstance(head, TaxonomicHead):
            raise ConfigError(
                f"a taxonomy is planted in a taxonomic head, not in {type(head).__name__}",
                "set head=taxonomic()",
            )
        names = state.stats.names
        if self.taxonomy is None:
            means, known = class_means(state)
            tree = state.ranks.broadcast(cluster_classes(means, known, names, self.branching))
            notes = [f"taxonomy: clustered from class means, {tree.inner} nodes below the root"]
        else:
            tree, notes = read_taxonomy(self.taxonomy, names)
        state.notes += notes
        head.plant(tree)


def cluster_classes(
    means: np.ndarray[Any, Any],
    known: np.ndarray[Any, Any],
    names: Sequence[str],
    branching: int = 4,
) -> Taxonomy:
    """A tree over the classes from their mean features.

    Ward's linkage of the unit-length means, cut into ``K / b, K / b^2, ...`` clusters of ``K``
    classes, ``b`` the branching, down to ``b`` or fewer, with two clusters at least where there are
    three classes. Classes without a mean hang below the root.

    Args:
        means: ``(K, D)``.
        known: ``(K,)`` their class ids.
        names: ``(C,)`` class names.
        branching: ``b``.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    parent_of: dict[Hashable, Hashable] = dict.fromkeys(range(len(names)), ROOT)
    label: dict[Hashable, str] = {}
    count = max(2, -(-len(known) // branching))
    if len(known) > 2:
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        links = linkage(means / np.maximum(lengths, 1e-12), method="ward")
    level: list[tuple[Hashable, list[int]]] = [(int(c), [i]) for i, c in enumerate(known)]
    while 1 < count < len(known):
        cut = fcluster(links, count, criterion="maxclust")
        groups: dict[int, list[tuple[Hashable, list[int]]]] = {}
        for key, rows in level:
            groups.setdefault(int(cut[rows[0]]), []).append((key, rows))
        level = []
        for members in groups.values():
            rows = sorted(r for _, m in members for r in m)
            node = (count, *rows)
            parent_of.update((key, node) for key, _ in members)
            parent_of[node] = ROOT
            called = [names[known[r]] for r in rows]
            more = f" | ... ({len(called)})" if len(called) > SHOWN else ""
            label[node] = " | ".join(called[:SHOWN]) + more
            level.append((node, rows))
        count = -(-count // branching) if count > branching else 1
    tree, _ = grow(parent_of, list(range(len(names))), names, label)
    return tree
