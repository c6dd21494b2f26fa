"""Batch transforms: views (pixels) and mixing (rows and labels)."""

from longtail.augment.base import MixAugment, ViewAugment
from longtail.augment.mix import Mixup
from longtail.augment.strong import Strong
from longtail.augment.views import Chain, CropFlip, Flip, Identity, Shift

__all__ = [
    "Chain",
    "CropFlip",
    "Flip",
    "Identity",
    "MixAugment",
    "Mixup",
    "Shift",
    "Strong",
    "ViewAugment",
]
