"""Gaussian clouded logits: noise on the logits, wider for rarer classes."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.errors import UnknownNameError
from longtail.functional import remargin as rows
from longtail.functional.adjusted import adjusted_cross_entropy
from longtail.functional.losses import (
    cross_entropy,
    exclusive_logsumexp,
    margin_cross_entropy_classes,
    modulate,
)
from longtail.losses.base import Counts, Loss, WeightLike, check_number
from longtail.types import ClassStats

__all__ = ["GaussianClouded"]


FORMS = ("cosine", "angular")


class GaussianClouded(Loss):
    """Cross-entropy of ``s (c_j - noise |e| a_j - margin 1[j = y])``, times ``(1 - p_y)^gamma``.

    ``a_c = (log n_max - log n_c) / max`` in ``[0, 1]`` and ``e`` is normal with standard
    deviation 1/3, clipped to ``[-1, 1]``, drawn anew for each row and class; none is drawn in
    eval mode. The factor ``(1 - p_y)^gamma`` gets no gradient. The logits are scaled cosines
    ``z = s c``.

    Args:
        noise_level: ``noise`` above, in units of the cosine (in units of a quarter turn under
            ``angular``).
        margin: taken off the label's cosine (added to its angle under ``angular``).
        scale: the scale ``s`` of the head.
        gamma: exponent of the focal factor; 0: none. Published: 1 in the second stage.
        form: ``cosine``, or ``angular``: the noise is added to the angle,
            ``s cos(theta_j + noise (pi / 2) |e| a_j)``, past a half turn ``s (cos theta_j - sin d)``
            with the angle ``d`` that would be added.
        easy_margin: under ``angular`` turn positive cosines only.
        weight: class weights: a part, or ``(C,)`` numbers.
        reduction: ``mean``, ``weighted_mean``, ``sum`` or ``none``; see :class:`Loss`.
        ignore_index: label of samples that do not count.
        class_counts: training counts; absent, :meth:`bind` brings them.

    Reference: Li, Cheung and Lu, CVPR 2022; ``angular`` after their later version.
    """

    needs_stats = True
    noisy = True
    widths: Tensor
    scale: float

    def __init__(
        self,
        noise_level: float = 0.5,
        margin: float = 0.0,
        scale: float = 30.0,
        gamma: float = 0.0,
        *,
        form: str = "cosine",
        easy_margin: bool = False,
        weight: WeightLike = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        class_counts: Counts = None,
    ) -> None:
        self.noise_level = check_number("noise_level", noise_level, low=0)
        self.margin = check_number("margin", margin, low=0)
        self.scale = check_number("scale", scale, low=0, above=True)
        self.gamma = check_number("gamma", gamma, low=0)
        if form not in FORMS:
            raise UnknownNameError("form of the clouded loss", form, FORMS)
        self.form, self.easy_margin = form, easy_margin
        super().__init__(
            weight=weight,
            reduction=reduction,
            ignore_index=ignore_index,
            class_counts=class_counts,
        )

    def on_bind(self, stats: ClassStats) -> None:
        """How wide the cloud of each class is."""
        self.keep("widths", rows.cloud_widths(stats.counts))

    def _cloud(self, logits: Tensor, unit: float) -> Tensor | None:
        """``unit noise |e| a``, ``(B, C)``; ``None`` in eval mode."""
        self.bound()
        if not self.training or self.noise_level == 0:
            return None
        size = rows.half_normal(self.noise(logits)).clamp_max_(3)
        return size.mul_((unit / 3 * self.noise_level * self.widths).to(size.dtype))

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.form == "angular":
            return modulate(self._angular(logits, target), self.gamma, True)
        shift = torch.full_like(logits[:, 0], -self.scale * self.margin)
        offset = self._cloud(logits, -self.scale)
        loss = adjusted_cross_entropy(logits, target, offset=offset, label_shift=shift)
        return modulate(loss, self.gamma, True)

    def _angles(self, logits: Tensor) -> Tensor:
        cloud = self._cloud(logits, math.pi / 2)
        return torch.zeros_like(logits) if cloud is None else cloud

    def _angular(self, logits: Tensor, target: Tensor) -> Tensor:
        own = torch.full_like(logits[:, :1], self.margin)
        angles = self._angles(logits).scatter_add(1, target[:, None], own)
        return cross_entropy(self._turned(logits, angles), target)

    def _turned(self, logits: Tensor, angles: Tensor) -> Tensor:
        return rows.clouded_angles(logits, angles, self.scale, easy=self.easy_margin)

    def per_class(self, logits: Tensor) -> Tensor:
        if self.form == "angular":
            angles = self._angles(logits)
            rest = exclusive_logsumexp(self._turned(logits, angles))
            own = self._turned(logits, angles + self.margin)
            return modulate(F.softplus(rest - own), self.gamma, True)
        cloud = self._cloud(logits, -self.scale)
        moved = logits if cloud is None else logits + cloud
        margins = torch.full_like(logits[0], self.scale * self.margin)
        return modulate(margin_cross_entropy_classes(moved, margins), self.gamma, True)
