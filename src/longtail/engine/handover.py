"""What happens between stages: reset, teach, relabel, grow a tree, put it together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from longtail.checks import is_finite, is_whole
from longtail.engine.feed import StageData
from longtail.engine.stage import Stage
from longtail.engine.state import RunState
from longtail.errors import ConfigError, DataError
from longtail.schedules import allocate

__all__ = [
    "AssembleTree",
    "CapPerClass",
    "FreshModel",
    "GrowTree",
    "Handover",
    "PreviousAsTeacher",
    "PseudoLabels",
    "ResetHead",
]


class Handover:
    """Changes the state of a run between two stages; a pure function of that state.

    Attributes:
        renews_head: nothing of the classifier before it is used any more.
        reads_head: it uses the classifier as it stands.
        keeps_affine: logits that are a linear function of the features remain so.
    """

    renews_head = False
    reads_head = False
    keeps_affine = True

    def __call__(self, state: RunState) -> None:
        """Change network, data or teachers."""

    def check(self, state: RunState) -> None:
        """Refuse before the first step what could not be done later."""

    def expand(self, state: RunState, stage: Stage) -> tuple[Stage, ...]:
        """The stages to run in place of ``stage`` (itself by default)."""
        return (dataclasses.replace(stage, expand=None),)


class ResetHead(Handover):
    """Draw the classifier's weights anew, as cRT does before its second stage."""

    renews_head = True

    def __call__(self, state: RunState) -> None:
        fresh = state.fresh_network(salt=1).state_dict()
        own = state.network.state_dict()
        own.update({k: v for k, v in fresh.items() if k.startswith("head.")})
        state.network.load_state_dict(own)


class FreshModel(Handover):
    """Start again from newly drawn weights."""

    renews_head = True

    def __call__(self, state: RunState) -> None:
        state.network = state.fresh_network(salt=2)


class PreviousAsTeacher(Handover):
    """Keep the model of the stage before, frozen, as ``ctx.teachers[name]``."""

    reads_head = True

    def __init__(self, name: str = "teacher") -> None:
        self.name = name

    def __call__(self, state: RunState) -> None:
        state.teachers[self.name] = list(state.ends)[-1]


class CapPerClass(Handover):
    """Keep at most ``limit`` training rows a class, chosen by the seed."""

    def __init__(self, limit: int) -> None:
        if not is_whole(limit) or limit < 1:
            raise ConfigError(
                f"limit must be a whole number from 1 on, not {limit}", "try limit=100"
            )
        self.limit = limit

    def __call__(self, state: RunState) -> None:
        rng = np.random.default_rng([state.seed, 20160627])
        labels = state.data.labels.cpu().numpy()
        keep = [
            np.sort(rng.permutation(np.flatnonzero(labels == c))[: self.limit])
            for c in np.unique(labels)
        ]
        state.data = state.data.take(torch.from_numpy(np.sort(np.concatenate(keep))))


class PseudoLabels(Handover):
    """Label the unlabelled rows by the model as it stands and train on the union.

    A row joins with ``argmax p`` when ``max p >= threshold`` (0 keeps every row, as published).
    Class counts then include the pseudo-labels.

    Reference: Yang and Xu, NeurIPS 2020.
    """

    reads_head = True

    def __init__(self, threshold: float = 0.0) -> None:
        if not is_finite(threshold) or not 0 <= threshold <= 1:
            raise ConfigError(f"threshold must lie in [0, 1], not {threshold}", "try 0.0 or 0.95")
        self.threshold = threshold

    def __call__(self, state: RunState) -> None:
        if state.unlabelled is None or not len(state.unlabelled):
            raise DataError(
                "there are no unlabelled rows to label",
                "hide the labels of a share with --labelled-share 0.2, or add rows without label",
            )
        rows = StageData(state.start.store, state.unlabelled, torch.zeros(len(state.unlabelled)))
        best = state.collect(rows, "logits").softmax(-1).max(-1)
        sure = best.values >= self.threshold
        if not bool(sure.any()):
            raise DataError(
                f"no unlabelled row is predicted with probability {self.threshold} or more",
                "lower the threshold, or train the first stage longer",
            )
        data, device = state.data, state.data.labels.device
        weight = None
        if data.weight is not None:
            weight = torch.cat([data.weight, data.weight.new_ones(int(sure.sum()))])
        state.data = StageData(
            data.store,
            torch.cat([data.index, state.unlabelled[sure].to(data.index.device)]),
            torch.cat([data.labels, best.indices[sure].to(device)]),
            weight,
            extra_rows=data.extra_rows - int(sure.sum()),
        )
        state.notes.append(
            f"{int(sure.sum())} of {len(sure)} unlabelled rows joined with a pseudo-label"
        )


class GrowTree(Handover):
    """Group alike classes and train one model for each group (hierarchical feature learning).

    Class similarity is the cosine of mean features; ``groups`` clusters by average linkage.
    Each group of two classes or more becomes a stage that starts from this stage's weights and
    sees the group's rows only.

    Reference: after Ouyang et al., CVPR 2016.
    """

    keeps_affine = False

    def __init__(self, groups: int | None = None) -> None:
        if groups is not None and (not is_whole(groups) or groups < 2):
            raise ConfigError(
                f"groups must be a whole number of at least 2, not {groups}",
                "leave it out for sqrt(C)",
            )
        self.groups = groups

    def expand(self, state: RunState, stage: Stage) -> tuple[Stage, ...]:
        members = state.ranks.broadcast(self._cluster(state))
        state.structure = {"groups": members, "root": list(state.ends)[-1]}
        inner = [m for m in members if len(m) > 1]
        if not inner:
            return ()
        each = allocate(max(len(inner), round(stage.epochs)), [1.0] * len(inner))
        return tuple(
            dataclasses.replace(
                stage,
                name=f"{stage.name}-{'-'.join(map(str, m[:6]))}",
                epochs=e,
                expand=None,
                classes=tuple(m),
                init_from=list(state.ends)[-1],
                data_from="start",
            )
            for m, e in zip(inner, each, strict=True)
        )

    def _cluster(self, state: RunState) -> list[list[int]]:
        from sklearn.cluster import AgglomerativeClustering

        means, known = class_means(state)
        count = self.groups or max(2, round(float(len(known)) ** 0.5))
        if count >= len(known):
            return [[int(c)] for c in known]
        fitted = AgglomerativeClustering(count, metric="cosine", linkage="average").fit(means)
        groups = [[int(c) for c in known[fitted.labels_ == g]] for g in range(count)]
        return sorted(groups)


def class_means(state: RunState) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """``(K, D)`` mean features of the classes with training rows, and their ``(K,)`` ids."""
    features = state.collect(state.data, "features").double()
    labels = state.data.labels.cpu()
    sums = torch.zeros(state.stats.num_classes, features.shape[1], dtype=torch.float64)
    sums.index_add_(0, labels, features)
    counts = state.data.counts(state.stats.num_classes)
    known = torch.nonzero(counts > 0).flatten()
    return (sums[known] / counts[known, None]).numpy(), known.numpy()


class AssembleTree(Handover):
    """Join root and group models: ``P(c) = P_root(group of c) P_group(c)``."""

    def __call__(self, state: RunState) -> None:
        from longtail.models import TreeNetwork

        groups: Sequence[Sequence[int]] = state.structure["groups"]
        root = state.end_of(state.structure["root"])
        nodes = {tuple(s.classes): s.name for s in state.stages if s.classes}
        leaves = [state.end_of(nodes[tuple(g)]) if len(g) > 1 else None for g in groups]
        state.network = state.place(TreeNetwork(root, leaves, groups, state.stats.num_classes))
        state.structure["leaves"] = [leaf is not None for leaf in leaves]


def stage_rows(data: StageData, classes: Sequence[int]) -> StageData:
    """The rows of some classes."""
    if not classes:
        return data
    wanted = torch.as_tensor(classes, device=data.labels.device)
    return data.take(torch.nonzero(torch.isin(data.labels, wanted)).flatten())


def hold_out_meta(
    data: StageData, per_class: int, seed: int
) -> tuple[StageData, StageData, list[str]]:
    """Cut a meta set from training before anything is counted.

    A class gives ``per_class`` rows, at most a fifth of its own. As with validation rows, a class
    of fewer than five keeps them all: the notes count such classes.
    """
    rng = np.random.default_rng([seed, 20190902])
    labels = data.labels.cpu().numpy()
    taken, without = [], 0
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        size = min(per_class, len(rows) // 5)
        without += not size
        taken.append(np.sort(rng.permutation(rows)[:size]))
    chosen = np.concatenate(taken)
    if not len(chosen):
        raise DataError(
            "no class has the five training rows of which one could go to a meta set",
            "add rows, or choose a recipe that needs no meta set",
        )
    rest = np.setdiff1d(np.arange(len(labels)), chosen)
    notes = [f"{len(chosen)} training rows are set aside as the meta set, before counting"]
    if without:
        notes.append(f"{without} classes with fewer than five rows have none in the meta set")
    return data.take(torch.from_numpy(rest)), data.take(torch.from_numpy(chosen)), notes
