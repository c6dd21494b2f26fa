"""Losses ``loss(logits, target)`` and the class weights that any of them takes."""

from longtail.losses.base import Loss
from longtail.losses.clouded import GaussianClouded
from longtail.losses.equalized import EqualizedV2
from longtail.losses.etf import DotRegression
from longtail.losses.focal import BceOnSoftmax, Focal
from longtail.losses.influence import InfluenceBalanced
from longtail.losses.margin import LDAM
from longtail.losses.measured import Difficulty, EffectiveArea
from longtail.losses.pairwise import PairwiseMargin
from longtail.losses.remargin import EnlargedMargin, KeyPointSensitive, VectorScaling
from longtail.losses.smoothing import LabelAwareSmoothing
from longtail.losses.softmax import BalancedSoftmax, CrossEntropy, LogitAdjusted
from longtail.losses.suppress import AdaptiveSuppression, Equalization, Seesaw
from longtail.losses.uncertain import UncertaintyMargin
from longtail.losses.weights import Deferred, EffectiveNumber, InverseFrequency, Uniform, Weight

__all__ = [
    "LDAM",
    "AdaptiveSuppression",
    "BalancedSoftmax",
    "BceOnSoftmax",
    "CrossEntropy",
    "Deferred",
    "Difficulty",
    "DotRegression",
    "EffectiveArea",
    "EffectiveNumber",
    "EnlargedMargin",
    "Equalization",
    "EqualizedV2",
    "Focal",
    "GaussianClouded",
    "InfluenceBalanced",
    "InverseFrequency",
    "KeyPointSensitive",
    "LabelAwareSmoothing",
    "LogitAdjusted",
    "Loss",
    "PairwiseMargin",
    "Seesaw",
    "UncertaintyMargin",
    "Uniform",
    "VectorScaling",
    "Weight",
]
