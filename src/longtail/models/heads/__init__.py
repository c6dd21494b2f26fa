"""Heads: what turns features into logits, and the projector beside them."""

from longtail.models.heads.base import Head
from longtail.models.heads.basic import CosineHead, LinearHead, MLPProjector
from longtail.models.heads.calibrated import DisAlignHead, MarcHead
from longtail.models.heads.causal import CausalHead
from longtail.models.heads.fitted import FittedHead
from longtail.models.heads.means import NearestMeanHead
from longtail.models.heads.scaled import ScaledHead

__all__ = [
    "CausalHead",
    "CosineHead",
    "DisAlignHead",
    "FittedHead",
    "Head",
    "LinearHead",
    "MLPProjector",
    "MarcHead",
    "NearestMeanHead",
    "ScaledHead",
]
