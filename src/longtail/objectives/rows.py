"""What objectives that look at single rows ask of a batch."""

from __future__ import annotations

from longtail.errors import ConfigError
from longtail.types import Batch

__all__ = ["unmixed"]


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
