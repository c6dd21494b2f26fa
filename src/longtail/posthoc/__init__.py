"""After training: priors, adjusters, and weights of experts chosen at test time."""

from longtail.posthoc.base import Adjuster, FitData
from longtail.posthoc.logit_adjust import LogitAdjust
from longtail.posthoc.prior import (
    PriorShift,
    effective_prior,
    read_target_prior,
    shift,
    shift_offset,
)
from longtail.posthoc.tau_norm import TauNorm

__all__ = [
    "Adjuster",
    "FitData",
    "LogitAdjust",
    "PriorShift",
    "TauNorm",
    "effective_prior",
    "read_target_prior",
    "shift",
    "shift_offset",
]
