"""Metrics in one pass, their intervals, and honest comparisons."""

from longtail.metrics.accumulator import IGNORED, Accumulator
from longtail.metrics.bootstrap import STATISTICS
from longtail.metrics.calibration import ece, ece_debiased, ece_mass, noise_floor, reliability
from longtail.metrics.comparison import (
    Comparison,
    Scores,
    compare,
    compare_all,
    confused_pairs,
    paired,
)
from longtail.metrics.groups import GROUPS, group_index
from longtail.metrics.intervals import intervals, intervals_from_counts, wilson
from longtail.metrics.labels import label_counts, label_metrics
from longtail.metrics.shape import gini, shape
from longtail.metrics.significance import (
    holm,
    mdd,
    required_test_per_class,
    seed_row_variance,
    verdict,
)
from longtail.metrics.single import (
    ECE,
    NLL,
    Accuracy,
    BalancedAccuracy,
    Brier,
    Few,
    Many,
    Medium,
    Metric,
    WorstRecall,
)

__all__ = [
    "ECE",
    "GROUPS",
    "IGNORED",
    "NLL",
    "STATISTICS",
    "Accumulator",
    "Accuracy",
    "BalancedAccuracy",
    "Brier",
    "Comparison",
    "Few",
    "Many",
    "Medium",
    "Metric",
    "Scores",
    "WorstRecall",
    "compare",
    "compare_all",
    "confused_pairs",
    "ece",
    "ece_debiased",
    "ece_mass",
    "gini",
    "group_index",
    "holm",
    "intervals",
    "intervals_from_counts",
    "label_counts",
    "label_metrics",
    "mdd",
    "noise_floor",
    "paired",
    "reliability",
    "required_test_per_class",
    "seed_row_variance",
    "shape",
    "verdict",
    "wilson",
]
