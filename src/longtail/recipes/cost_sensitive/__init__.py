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

__all__ = ["cb", "drw", "focal", "ldam", "ldam_drw", "meta_weight_net", "weighted_ce"]
