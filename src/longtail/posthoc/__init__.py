"""After training: priors, adjusters, and weights of experts chosen at test time."""

from longtail.posthoc.aggregation import Aggregation, aggregate, combine
from longtail.posthoc.base import Adjuster, FitData
from longtail.posthoc.em import PriorEstimate, estimate_prior
from longtail.posthoc.logit_adjust import LogitAdjust
from longtail.posthoc.prior import (
    PriorShift,
    effective_prior,
    read_target_prior,
    shift,
    shift_offset,
)
from longtail.posthoc.recalibration import Recalibration
from longtail.posthoc.tau_norm import TauNorm

__all__ = [
    "Adjuster",
    "Aggregation",
    "FitData",
    "LogitAdjust",
    "PriorEstimate",
    "PriorShift",
    "Recalibration",
    "TauNorm",
    "aggregate",
    "combine",
    "effective_prior",
    "estimate_prior",
    "read_target_prior",
    "shift",
    "shift_offset",
]
