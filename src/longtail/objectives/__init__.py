"""Methods that own a batch or a step, one page each."""

from longtail.objectives.base import Objective, Stream, Supervised, row_mean, supervised_terms
from longtail.objectives.bilateral import Bilateral
from longtail.objectives.constellation import Constellation
from longtail.objectives.curriculum import DynamicCurriculum
from longtail.objectives.diverse_experts import DiverseExperts
from longtail.objectives.lade import Lade
from longtail.objectives.manifold_mixup import ManifoldMixup
from longtail.objectives.meta_sampler import MetaSampler
from longtail.objectives.meta_weight_net import MetaWeightNet
from longtail.objectives.moving_head import MovingHead
from longtail.objectives.paco import PaCo
from longtail.objectives.quintuplet import Quintuplet
from longtail.objectives.rows import unmixed
from longtail.objectives.taxonomic import Taxonomic
from longtail.objectives.uncertainty import MeasuredUncertainty

__all__ = [
    "Bilateral",
    "Constellation",
    "DiverseExperts",
    "DynamicCurriculum",
    "Lade",
    "ManifoldMixup",
    "MeasuredUncertainty",
    "MetaSampler",
    "MetaWeightNet",
    "MovingHead",
    "Objective",
    "PaCo",
    "Quintuplet",
    "Stream",
    "Supervised",
    "Taxonomic",
    "row_mean",
    "supervised_terms",
    "unmixed",
]
