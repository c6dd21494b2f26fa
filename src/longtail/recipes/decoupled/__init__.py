"""Module improvement: decoupled training."""

from longtail.recipes.decoupled.basic import crt

__all__ = ["crt"]
