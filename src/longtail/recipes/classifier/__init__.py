"""Module improvement: classifier design."""

from longtail.recipes.classifier.basic import tau_norm

__all__ = ["tau_norm"]
