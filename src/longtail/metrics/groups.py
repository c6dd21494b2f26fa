"""Shot groups as one array."""

from __future__ import annotations

import numpy as np

from longtail.types import ClassStats

__all__ = ["GROUPS", "group_index"]

GROUPS = ("many", "medium", "few")


def group_index(stats: ClassStats) -> np.ndarray:
    """``(C,)`` int64: 0 many, 1 medium, 2 few, by the training counts in ``stats``."""
    out = np.zeros(stats.num_classes, dtype=np.int64)
    members, _ = stats.groups()
    for i, name in enumerate(GROUPS):
        out[members[name].numpy()] = i
    return out
