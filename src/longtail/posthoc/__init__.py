"""After training: priors, adjusters, and weights of experts chosen at test time."""

from longtail.posthoc.aggregation import Aggregation, aggregate, combine
from longtail.posthoc.base import Adjuster, FitData
from longtail.posthoc.bbse import bbse
from longtail.posthoc.em import EMFit, estimate_prior
from longtail.posthoc.estimate import PriorEstimate, estimate_target_prior
from longtail.posthoc.logit_adjust import LogitAdjust
from longtail.posthoc.measured import MeasuredPrior, audit_prior, measured_prior
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
    "EMFit",
    "FitData",
    "LogitAdjust",
    "MeasuredPrior",
    "PriorEstimate",
    "PriorShift",
    "Recalibration",
    "TauNorm",
    "aggregate",
    "audit_prior",
    "bbse",
    "combine",
    "effective_prior",
    "estimate_prior",
    "estimate_target_prior",
    "measured_prior",
    "read_target_prior",
    "shift",
    "shift_offset",
]
