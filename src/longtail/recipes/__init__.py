"""The taxonomy: one file a street. Importing it registers every recipe, and no torch."""

from longtail.recipes import (
    augmentation,
    baseline,
    classifier,
    cost_sensitive,
    decoupled,
    ensembles,
    logit_adjustment,
    representation,
    resampling,
    transfer,
)

__all__ = [
    "augmentation",
    "baseline",
    "classifier",
    "cost_sensitive",
    "decoupled",
    "ensembles",
    "logit_adjustment",
    "representation",
    "resampling",
    "transfer",
]
