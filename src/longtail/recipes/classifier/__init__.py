"""Module improvement: classifier design."""

from longtail.recipes.classifier.basic import tau_norm
from longtail.recipes.classifier.structured import gist, rtc

__all__ = ["gist", "rtc", "tau_norm"]
