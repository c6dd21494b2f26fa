"""What objectives ask of a batch and of the stage's loss."""

from __future__ import annotations

from typing import Any

from longtail.errors import ConfigError
from longtail.losses.softmax import CrossEntropy
from longtail.types import Batch

__all__ = ["plain_loss", "unmixed"]


def plain_loss(loss: Any, who: str) -> None:
    """Refuse any loss but plain cross-entropy where an objective never asks another.

    Args:
        loss: of the stage, bound.
        who: the objective's name.
    """
    plain = type(loss) is CrossEntropy and loss.class_weight() is None
    if not plain or loss.label_smoothing:
        raise ConfigError(
            f"{who} has a loss of its own, made of plain cross-entropy, and would leave "
            f"{type(loss).__name__} or its weights and smoothing unused",
            f"leave the loss out of the stage of {who}, or set objective=supervised there",
        )


def unmixed(batch: Batch, who: str) -> Batch:
    """The batch, or an error where its rows are mixtures of rows.

    Args:
        batch: of a step.
        who: needs rows of one class, in words that begin the message.
    """
    if batch.mixed:
        raise ConfigError(
            f"{who} needs rows of one class each, and this stage mixes rows",
            "leave mixing out: --set 'augment=[]'",
        )
    return batch
