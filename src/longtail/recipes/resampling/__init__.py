"""Class re-balancing: re-sampling."""

from longtail.recipes.resampling.basic import class_balanced, progressive, ros, rus, square_root
from longtail.recipes.resampling.schemes import bilateral, dcl, meta_sampler, quintuplet

__all__ = [
    "bilateral",
    "class_balanced",
    "dcl",
    "meta_sampler",
    "progressive",
    "quintuplet",
    "ros",
    "rus",
    "square_root",
]
