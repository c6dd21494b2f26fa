"""Class re-balancing by re-sampling: exact, without size limit, the same on any number of ranks."""

from longtail.samplers.base import Sampler
from longtail.samplers.counts import RandomOver, RandomUnder, ToCounts
from longtail.samplers.deferred import Deferred
from longtail.samplers.independent import (
    ClassBalanced,
    ClassDraw,
    EffectiveNumberSampler,
    Power,
    Progressive,
    Reversed,
    SquareRoot,
)
from longtail.samplers.paired import Bilateral, Curriculum
from longtail.samplers.passes import ClassAware, Instance, Walk
from longtail.samplers.repeat import RepeatFactor
from longtail.samplers.replay import Replay
from longtail.samplers.streams import RejectionSampler, Reservoir

__all__ = [
    "Bilateral",
    "ClassAware",
    "ClassBalanced",
    "ClassDraw",
    "Curriculum",
    "Deferred",
    "EffectiveNumberSampler",
    "Instance",
    "Power",
    "Progressive",
    "RandomOver",
    "RandomUnder",
    "RejectionSampler",
    "RepeatFactor",
    "Replay",
    "Reservoir",
    "Reversed",
    "Sampler",
    "SquareRoot",
    "ToCounts",
    "Walk",
]
