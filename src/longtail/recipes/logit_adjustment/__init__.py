"""Class re-balancing: logit adjustment."""

from longtail.recipes.logit_adjustment.basic import balanced_softmax, la, la_posthoc

__all__ = ["balanced_softmax", "la", "la_posthoc"]
