"""Module improvement: decoupled training."""

from longtail.recipes.decoupled.aligned import disalign, marc
from longtail.recipes.decoupled.basic import crt, decoupled_lws, decoupled_ncm, decoupled_tau
from longtail.recipes.decoupled.mislas import mislas
from longtail.recipes.decoupled.regularised import los, weight_balancing

__all__ = [
    "crt",
    "decoupled_lws",
    "decoupled_ncm",
    "decoupled_tau",
    "disalign",
    "los",
    "marc",
    "mislas",
    "weight_balancing",
]
