"""Heads: what turns features into logits, and the projector beside them."""

from longtail.models.heads.base import Head
from longtail.models.heads.basic import CosineHead, LinearHead, MLPProjector
from longtail.models.heads.calibrated import DisAlignHead, MarcHead
from longtail.models.heads.causal import CausalHead
from longtail.models.heads.etf import EtfHead
from longtail.models.heads.fitted import FittedHead
from longtail.models.heads.gaussian import GaussianHead, LdaHead
from longtail.models.heads.means import NearestMeanHead
from longtail.models.heads.scaled import ScaledHead
from longtail.models.heads.vmf import VmfHead

__all__ = [
    "CausalHead",
    "CosineHead",
    "DisAlignHead",
    "EtfHead",
    "FittedHead",
    "GaussianHead",
    "Head",
    "LdaHead",
    "LinearHead",
    "MLPProjector",
    "MarcHead",
    "NearestMeanHead",
    "ScaledHead",
    "VmfHead",
]
