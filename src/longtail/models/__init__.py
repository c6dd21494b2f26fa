"""Networks and what they are made of: first layers, backbones, heads, slow copies."""

from longtail.models.backbones import MLP, Backbone, HashedText, Pieces, SmallCNN
from longtail.models.build import build_backbone, build_network, seeded
from longtail.models.cached import FeatureNetwork
from longtail.models.heads import CosineHead, Head, LinearHead, MLPProjector
from longtail.models.inputs import InputSpec, Normalise, TableEncoder, build_normalise
from longtail.models.momentum import Queue, Twin
from longtail.models.networks import ExpertNetwork, Network, SingleNetwork, TwoBranchNetwork
from longtail.models.resnet import ResNet18, ResNet32, ResNet50, ResNet152
from longtail.models.tree import TreeNetwork
from longtail.models.weights import load_backbone, load_head

__all__ = [
    "Backbone",
    "CosineHead",
    "ExpertNetwork",
    "FeatureNetwork",
    "HashedText",
    "Head",
    "InputSpec",
    "LinearHead",
    "MLP",
    "MLPProjector",
    "Network",
    "Normalise",
    "Pieces",
    "Queue",
    "ResNet152",
    "ResNet18",
    "ResNet32",
    "ResNet50",
    "SingleNetwork",
    "SmallCNN",
    "TableEncoder",
    "TreeNetwork",
    "Twin",
    "TwoBranchNetwork",
    "build_backbone",
    "build_network",
    "build_normalise",
    "load_backbone",
    "load_head",
    "seeded",
]
