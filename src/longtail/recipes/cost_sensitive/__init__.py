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
from longtail.recipes.cost_sensitive.suppress import acsl, eql, seesaw

__all__ = [
    "acsl",
    "adrw_tla",
    "cb",
    "drw",
    "elm",
    "eql",
    "focal",
    "gcl",
    "kps",
    "ldam",
    "ldam_drw",
    "meta_weight_net",
    "seesaw",
    "vs",
    "weighted_ce",
]
