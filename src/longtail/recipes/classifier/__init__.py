"""Module improvement: classifier design."""

from longtail.recipes.classifier.basic import cosine, lws, ncm, tau_norm
from longtail.recipes.classifier.causal import tde
from longtail.recipes.classifier.fixed import etf
from longtail.recipes.classifier.generative import generative_head
from longtail.recipes.classifier.structured import gist, rtc

__all__ = [
    "cosine",
    "etf",
    "generative_head",
    "gist",
    "lws",
    "ncm",
    "rtc",
    "tau_norm",
    "tde",
]
