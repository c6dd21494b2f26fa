"""Class re-balancing: re-sampling."""

from longtail.recipes.resampling.basic import class_balanced, progressive, ros, rus, square_root

__all__ = ["class_balanced", "progressive", "ros", "rus", "square_root"]
