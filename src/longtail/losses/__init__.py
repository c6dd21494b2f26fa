"""Losses ``loss(logits, target)`` and the class weights that any of them takes."""

from longtail.losses.base import Loss
from longtail.losses.etf import DotRegression
from longtail.losses.focal import BceOnSoftmax, Focal
from longtail.losses.margin import LDAM
from longtail.losses.softmax import BalancedSoftmax, CrossEntropy, LogitAdjusted
from longtail.losses.weights import Deferred, EffectiveNumber, InverseFrequency, Uniform, Weight

__all__ = [
    "BalancedSoftmax",
    "BceOnSoftmax",
    "CrossEntropy",
    "Deferred",
    "DotRegression",
    "EffectiveNumber",
    "Focal",
    "InverseFrequency",
    "LDAM",
    "LogitAdjusted",
    "Loss",
    "Uniform",
    "Weight",
]
