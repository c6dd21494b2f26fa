"""Class re-balancing: re-sampling."""

from longtail.recipes.resampling.basic import class_balanced, progressive, ros, rus, square_root
from longtail.recipes.resampling.rules import (
    class_aware,
    effective_number_sampling,
    prs,
    repeat_factor,
)
from longtail.recipes.resampling.schemes import bilateral, dcl, meta_sampler, quintuplet

__all__ = [
    "bilateral",
    "class_aware",
    "class_balanced",
    "dcl",
    "effective_number_sampling",
    "meta_sampler",
    "progressive",
    "prs",
    "quintuplet",
    "repeat_factor",
    "ros",
    "rus",
    "square_root",
]
