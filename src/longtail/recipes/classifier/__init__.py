"""Module improvement: classifier design."""

from longtail.recipes.classifier.basic import lws, ncm, tau_norm
from longtail.recipes.classifier.causal import tde

__all__ = ["lws", "ncm", "tau_norm", "tde"]
