"""Module improvement: classifier design."""

from longtail.recipes.classifier.basic import cosine, lws, ncm, tau_norm
from longtail.recipes.classifier.causal import tde
from longtail.recipes.classifier.fixed import etf
from longtail.recipes.classifier.generative import generative_head

__all__ = ["cosine", "etf", "generative_head", "lws", "ncm", "tau_norm", "tde"]
