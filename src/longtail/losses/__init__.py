"""Losses ``loss(logits, target)`` and the class weights that any of them takes."""

from longtail.losses.base import Loss
from longtail.losses.clouded import GaussianClouded
from longtail.losses.focal import BceOnSoftmax, Focal
from longtail.losses.margin import LDAM
from longtail.losses.remargin import EnlargedMargin, KeyPointSensitive, VectorScaling
from longtail.losses.softmax import BalancedSoftmax, CrossEntropy, LogitAdjusted
from longtail.losses.suppress import AdaptiveSuppression, Equalization, Seesaw
from longtail.losses.weights import Deferred, EffectiveNumber, InverseFrequency, Uniform, Weight

__all__ = [
    "AdaptiveSuppression",
    "BalancedSoftmax",
    "BceOnSoftmax",
    "CrossEntropy",
    "Deferred",
    "EffectiveNumber",
    "EnlargedMargin",
    "Equalization",
    "Focal",
    "GaussianClouded",
    "InverseFrequency",
    "KeyPointSensitive",
    "LDAM",
    "LogitAdjusted",
    "Loss",
    "Seesaw",
    "Uniform",
    "VectorScaling",
    "Weight",
]
