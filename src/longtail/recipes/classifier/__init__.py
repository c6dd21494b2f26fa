"""Module improvement: classifier design."""

from longtail.recipes.classifier.basic import lws, ncm, tau_norm
from longtail.recipes.classifier.causal import tde
from longtail.recipes.classifier.structured import gist, rtc

__all__ = [
    "gist",
    "lws",
    "ncm",
    "rtc",
    "tau_norm",
    "tde",
]
