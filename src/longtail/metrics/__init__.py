"""Metrics in one pass, their intervals, and honest comparisons."""

from longtail.metrics.accumulator import Accumulator
from longtail.metrics.calibration import ece
from longtail.metrics.groups import GROUPS, group_index
from longtail.metrics.intervals import intervals, intervals_from_counts, wilson

__all__ = [
    "GROUPS",
    "Accumulator",
    "ece",
    "group_index",
    "intervals",
    "intervals_from_counts",
    "wilson",
]
