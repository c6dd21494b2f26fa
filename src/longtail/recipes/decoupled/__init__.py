"""Module improvement: decoupled training."""

from longtail.recipes.decoupled.aligned import disalign, marc
from longtail.recipes.decoupled.basic import crt
from longtail.recipes.decoupled.regularised import los, weight_balancing

__all__ = ["crt", "disalign", "los", "marc", "weight_balancing"]
