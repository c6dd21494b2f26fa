"""Class re-balancing: logit adjustment."""

from longtail.recipes.logit_adjustment.basic import balanced_softmax, la, la_posthoc
from longtail.recipes.logit_adjustment.posterior import pc_softmax, uno_ic
from longtail.recipes.logit_adjustment.training import la_pairwise, lade

__all__ = [
    "balanced_softmax",
    "la",
    "la_pairwise",
    "la_posthoc",
    "lade",
    "pc_softmax",
    "uno_ic",
]
