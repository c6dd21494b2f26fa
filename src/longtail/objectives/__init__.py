"""Methods that own a batch or a step, one page each."""

from longtail.objectives.base import Objective, Stream, Supervised, row_mean, supervised_terms
from longtail.objectives.bilateral import Bilateral
from longtail.objectives.constellation import Constellation
from longtail.objectives.diverse_experts import DiverseExperts
from longtail.objectives.manifold_mixup import ManifoldMixup
from longtail.objectives.meta_weight_net import MetaWeightNet
from longtail.objectives.paco import PaCo
from longtail.objectives.taxonomic import Taxonomic

__all__ = [
    "Bilateral",
    "Constellation",
    "DiverseExperts",
    "ManifoldMixup",
    "MetaWeightNet",
    "Objective",
    "PaCo",
    "Stream",
    "Supervised",
    "Taxonomic",
    "row_mean",
    "supervised_terms",
]
