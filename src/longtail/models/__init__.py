"""Networks and what they are made of: first layers, backbones, heads, slow copies."""

from longtail.models.backbones import MLP, Backbone, HashedText, Pieces, SmallCNN
from longtail.models.build import build_backbone, build_network, seeded
from longtail.models.cached import FeatureNetwork
from longtail.models.fold import folded
from longtail.models.heads import (
    CausalHead,
    CosineHead,
    DisAlignHead,
    EtfHead,
    FittedHead,
    GaussianHead,
    Head,
    LdaHead,
    LinearHead,
    MarcHead,
    MLPProjector,
    NearestMeanHead,
    ScaledHead,
    VmfHead,
)
from longtail.models.heads_constellation import ConstellationHead
from longtail.models.heads_taxonomic import TaxonomicHead
from longtail.models.inputs import InputSpec, Normalise, TableEncoder, build_normalise
from longtail.models.momentum import Queue, Twin
from longtail.models.neck import Neck, NeckNetwork
from longtail.models.networks import ExpertNetwork, Network, SingleNetwork, TwoBranchNetwork
from longtail.models.resnet import ResNet18, ResNet32, ResNet50, ResNet152
from longtail.models.taxonomy import Taxonomy
from longtail.models.tree import TreeNetwork
from longtail.models.weights import load_backbone, load_head

__all__ = [
    "MLP",
    "Backbone",
    "CausalHead",
    "ConstellationHead",
    "CosineHead",
    "DisAlignHead",
    "EtfHead",
    "ExpertNetwork",
    "FeatureNetwork",
    "FittedHead",
    "GaussianHead",
    "HashedText",
    "Head",
    "InputSpec",
    "LdaHead",
    "LinearHead",
    "MLPProjector",
    "MarcHead",
    "NearestMeanHead",
    "Neck",
    "NeckNetwork",
    "Network",
    "Normalise",
    "Pieces",
    "Queue",
    "ResNet18",
    "ResNet32",
    "ResNet50",
    "ResNet152",
    "ScaledHead",
    "SingleNetwork",
    "SmallCNN",
    "TableEncoder",
    "TaxonomicHead",
    "Taxonomy",
    "TreeNetwork",
    "Twin",
    "TwoBranchNetwork",
    "VmfHead",
    "build_backbone",
    "build_network",
    "build_normalise",
    "folded",
    "load_backbone",
    "load_head",
    "seeded",
]
