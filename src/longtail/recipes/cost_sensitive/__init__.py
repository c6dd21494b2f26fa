"""Class re-balancing: re-weighting and re-margining."""

from longtail.recipes.cost_sensitive.basic import (
    cb,
    drw,
    focal,
    ldam,
    ldam_drw,
    meta_weight_net,
    weighted_ce,
)
from longtail.recipes.cost_sensitive.stateful import (
    area,
    cdb,
    eqlv2,
    influence_balanced,
    uncertainty_margin,
)

__all__ = [
    "area",
    "cb",
    "cdb",
    "drw",
    "eqlv2",
    "focal",
    "influence_balanced",
    "ldam",
    "ldam_drw",
    "meta_weight_net",
    "uncertainty_margin",
    "weighted_ce",
]
