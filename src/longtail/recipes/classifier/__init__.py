"""Module improvement: classifier design."""

from longtail.recipes.classifier.basic import lws, ncm, tau_norm

__all__ = ["lws", "ncm", "tau_norm"]
