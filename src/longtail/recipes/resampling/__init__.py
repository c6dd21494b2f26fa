"""Class re-balancing: re-sampling."""

from longtail.recipes.resampling.basic import class_balanced, progressive, ros, rus, square_root
from longtail.recipes.resampling.rules import (
    class_aware,
    effective_number_sampling,
    prs,
    repeat_factor,
)

__all__ = [
    "class_aware",
    "class_balanced",
    "effective_number_sampling",
    "progressive",
    "prs",
    "repeat_factor",
    "ros",
    "rus",
    "square_root",
]
