"""Handovers that fill or set a head from data: no gradient, no step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from longtail.engine.handover import Handover
from longtail.engine.state import RunState
from longtail.errors import ConfigError
from longtail.models import FittedHead, Head
from longtail.posthoc.choice import shrunk_balanced_accuracy

__all__ = ["BindHead", "ChooseHead", "FitHead"]


def single_head(state: RunState, wanted: str) -> Head:
    """The network's one classifier, or an error that says what asked for it."""
    head = state.network.head
    if not isinstance(head, Head):
        raise ConfigError(
            f"{wanted} works on one classifier, and this network has {type(head).__name__}",
            "use network=single",
        )
    return head


class FitHead(Handover):
    """Fill a head from the features of all training rows (class means, covariances).

    Features are taken once, in eval mode, the passes shared among ranks; every rank then holds
    all of them and computes the same.
    """

    renews_head = True

    def check(self, state: RunState) -> None:
        self._head(state)

    def _head(self, state: RunState) -> FittedHead:
        head = single_head(state, "fit_head")
        if not isinstance(head, FittedHead):
            raise ConfigError(
                f"fit_head fills a head from data, and {type(head).__name__} takes nothing from them",
                "use a head such as ncm or lda",
            )
        return head

    def __call__(self, state: RunState) -> None:
        head = self._head(state)
        head.fit(state.collect(state.data, "features"), state.data.labels, state.stats)


class BindHead(Handover):
    """Tell a head the class counts of the training data (which classes are the tail)."""

    def check(self, state: RunState) -> None:
        self(state)

    def __call__(self, state: RunState) -> None:
        single_head(state, "bind_head").bind(state.data.stats(state.stats))


class ChooseHead(Handover):
    """Choose what a head lets one choose without training, on the validation rows.

    The choice of best balanced accuracy, recalls drawn towards those of their shot group as in
    :func:`~longtail.posthoc.choice.shrunk_balanced_accuracy`. The setting in use stays where it is
    among the best; else the middle of the widest run of best ones is taken. Without validation
    rows nothing changes and a note says so.
    """

    def check(self, state: RunState) -> None:
        self._head(state)

    def _head(self, state: RunState) -> Head:
        head = single_head(state, "choose_head")
        if not head.choices():
            raise ConfigError(
                f"{type(head).__name__} has nothing to choose on validation data",
                "leave choose_head out",
            )
        return head

    def __call__(self, state: RunState) -> None:
        head = self._head(state)
        options, name = list(head.choices()), type(head).__name__
        rows = state.validation()
        if rows is None:
            state.notes.append(f"no validation data: {name} uses {head.choice()}, not chosen")
            return
        features = state.collect(rows, "features")
        scores = _scores(head, options, features, rows.labels.cpu(), state)
        at = best_choice(scores, options.index(head.choice()))
        head.use(options[at])
        state.notes.append(f"{name} uses {options[at]}, chosen on validation data")


@torch.no_grad()
def _scores(
    head: Head, options: Sequence[object], features: Tensor, labels: Tensor, state: RunState
) -> Tensor:
    """``(T,)`` shrunk balanced accuracy under each choice."""
    classes = state.stats.num_classes
    correct = torch.zeros(classes, len(options), dtype=torch.float64)
    training, kept = head.training, head.choice()
    head.eval()
    for at, option in enumerate(options):
        head.use(option)
        said = [head(f.to(state.device)).argmax(1).cpu() for f in features.split(4096)]
        right = torch.cat(said) == labels
        correct[:, at] = torch.bincount(labels[right], minlength=classes).double()
    head.use(kept)
    head.train(training)
    total = torch.bincount(labels, minlength=classes)
    return shrunk_balanced_accuracy(correct, total, state.stats)


def best_choice(scores: Tensor, default: int) -> int:
    """Position of the choice to take: see :class:`ChooseHead`."""
    best = (scores >= scores.max() - 1e-12).tolist()
    if best[default]:
        return default
    runs: list[list[int]] = []
    for at, good in enumerate(best):
        if good and at and best[at - 1]:
            runs[-1].append(at)
        elif good:
            runs.append([at])
    widest = max(runs, key=len)
    return widest[(len(widest) - 1) // 2]
