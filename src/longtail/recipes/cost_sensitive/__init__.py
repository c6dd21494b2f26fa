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
from longtail.recipes.cost_sensitive.remargin import adrw_tla, elm, gcl, kps, vs
from longtail.recipes.cost_sensitive.stateful import (
    area,
    cdb,
    eqlv2,
    influence_balanced,
    uncertainty_margin,
)
from longtail.recipes.cost_sensitive.suppress import acsl, eql, seesaw

__all__ = [
    "acsl",
    "adrw_tla",
    "area",
    "cb",
    "cdb",
    "drw",
    "elm",
    "eql",
    "eqlv2",
    "focal",
    "gcl",
    "influence_balanced",
    "kps",
    "ldam",
    "ldam_drw",
    "meta_weight_net",
    "seesaw",
    "uncertainty_margin",
    "vs",
    "weighted_ce",
]
