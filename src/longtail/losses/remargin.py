"""Margins and scales that depend on class counts: vector scaling, ELM, key-point sensitive."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from longtail.errors import ConfigError
from longtail.functional import remargin as rows
from longtail.functional.adjusted import adjusted_cross_entropy
from longtail.functional.losses import cross_entropy_classes
from longtail.functional.margins import ldam_margins
from longtail.losses.base import Counts, Loss, WeightLike, check_number
from longtail.schedules import check_switch
from longtail.types import ClassStats, Progress

__all__ = ["EnlargedMargin", "KeyPointSensitive", "VectorScaling"]


def reached(progress: Progress, fraction: float) -> Tensor:
    """0-d bool: epoch ``int(fraction * epochs)`` (0-based) has begun."""
    return progress.epoch >= math.floor(fraction * progress.epochs + 1e-9)


class VectorScaling(Loss):
    """``-log softmax(z / Delta + tau log prior)_y`` with ``Delta_c = (n_max / n_c) ** gamma``.

    ``gamma=0`` is logit adjustment, ``tau=0`` the class-dependent temperatures of CDT. At test
    the logits stand as they are.

    Args:
        gamma: exponent of the temperatures.
        tau: strength of the offsets.
        after: fraction of the stage with plain cross-entropy first (published ``mixed`` mode:
            epochs 0 to 5 of 200, 0.03).
        truncate: fraction of the stage from which only the offsets are left (truncated logit
            adjustment); 1: never.
        weight: class weights: a part, or ``(C,)`` numbers.
        reduction: ``mean``, ``weighted_mean``, ``sum`` or ``none``; see :class:`Loss`.
        ignore_index: label of samples that do not count.
        class_counts: training counts; absent, :meth:`bind` brings them.

    Reference: Kini et al., NeurIPS 2021; CDT: Ye et al., arXiv 2001.01385; ``truncate``: Wang
    et al., NeurIPS 2023.
    """

    needs_stats = True
    inverse: Tensor
    log_prior: Tensor

    def __init__(
        self,
        gamma: float = 0.3,
        tau: float = 1.0,
        *,
        after: float = 0.0,
        truncate: float = 1.0,
        weight: WeightLike = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        class_counts: Counts = None,
    ) -> None:
        self.gamma = check_number("gamma", gamma, low=0)
        self.tau = check_number("tau", tau, low=0)
        self.after = check_switch("after", after)
        self.truncate = truncate if truncate == 1 else check_switch("truncate", truncate)
        super().__init__(
            weight=weight,
            reduction=reduction,
            ignore_index=ignore_index,
            class_counts=class_counts,
        )

    def on_bind(self, stats: ClassStats) -> None:
        """``1 / Delta``, and ``tau log prior`` with ``-inf`` for a masked class."""
        self.keep("inverse", rows.inverse_temperatures(stats.counts, self.gamma))
        offset = torch.where(stats.present, self.tau * stats.log_prior, -math.inf)
        self.keep("log_prior", offset)

    def _now(self) -> tuple[Tensor | None, Tensor]:
        """Scales and offsets of this moment; no scales where ``gamma`` is zero."""
        self.bound()
        scale: Tensor | None = None if self.gamma == 0 else self.inverse
        offset, device = self.log_prior, self.log_prior.device
        if scale is not None and self.truncate < 1:
            late = reached(self.progress, self.truncate).to(device)
            scale = torch.where(late, 1.0, scale)
        if self.after > 0:
            on = reached(self.progress, self.after).to(device)
            offset = torch.where(on, offset, 0.0)
            scale = None if scale is None else torch.where(on, scale, 1.0)
        return scale, offset

    def prior_offset(self) -> Tensor | None:
        """The offsets while no temperature is at work; ``None`` otherwise."""
        scale, offset = self._now()
        return offset if scale is None or bool((scale == 1).all()) else None

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        scale, offset = self._now()
        return adjusted_cross_entropy(logits, target, scale=scale, offset=offset)

    def per_class(self, logits: Tensor) -> Tensor:
        scale, offset = self._now()
        scaled = logits if scale is None else logits * scale.to(logits.dtype)
        return cross_entropy_classes(scaled, offset=offset)


class EnlargedMargin(Loss):
    """``-log softmax(z + s (strength m_k - m_y) onehot(y))_y``, ``k`` the best other class.

    ``m`` are the margins of LDAM, the logits scaled cosines ``z = s cos``.

    Args:
        margin: margin of the smallest class, in units of the cosine.
        scale: the scale ``s`` of the head.
        strength: 0 is LDAM; 1 as in published code, where the rival's margin is *given back* to
            the label; a negative value adds it to the label's margin, as the name of the method
            suggests.
        weight: class weights: a part, or ``(C,)`` numbers.
        reduction: ``mean``, ``weighted_mean``, ``sum`` or ``none``; see :class:`Loss`.
        ignore_index: label of samples that do not count.
        class_counts: training counts; absent, :meth:`bind` brings them.

    Reference: after Kato and Hotta, arXiv 2306.09132, 2023.
    """

    needs_stats = True
    margins: Tensor
    scale: float

    def __init__(
        self,
        margin: float = 0.5,
        scale: float = 30.0,
        strength: float = 1.0,
        *,
        weight: WeightLike = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        class_counts: Counts = None,
    ) -> None:
        self.margin = check_number("margin", margin, low=0)
        self.scale = check_number("scale", scale, low=0, above=True)
        self.strength = check_number("strength", strength)
        super().__init__(
            weight=weight,
            reduction=reduction,
            ignore_index=ignore_index,
            class_counts=class_counts,
        )

    def on_bind(self, stats: ClassStats) -> None:
        """Margins in units of the logits, ``scale * m``."""
        self.keep("margins", self.scale * ldam_margins(stats.counts, self.margin))

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        self.bound()
        return rows.enlarged_margin(logits, target, self.margins, self.strength)

    def per_class(self, logits: Tensor) -> Tensor:
        self.bound()
        return rows.enlarged_margin_classes(logits, self.margins, self.strength)


class KeyPointSensitive(Loss):
    """``-log softmax(s_j z_j - scale m_y 1[j = y])_y`` with scales and margins by class.

    ``s_c = log(base n_c / n_min) / log base``; ``m_c`` is the scale of the class at the same
    rank from the other end, times ``margin / max s``: the largest class has the largest scale
    and the smallest margin. The logits are scaled cosines ``z = scale cos``.

    Args:
        margin: margin of the smallest class, in units of the cosine.
        scale: the scale of the head.
        base: how much scales differ: at 50 published, larger is flatter.
        after: fraction of the stage from which the rows of rare classes count with larger
            logits: all logits of a row times ``clip(scale r_y, scale, largest) / scale``, ``r_y``
            the scale at the same rank from the other end; ``None``: never.
        largest: upper end of that clip, at least ``scale``.
        weight: class weights: a part, or ``(C,)`` numbers.
        reduction: ``mean``, ``weighted_mean``, ``sum`` or ``none``; see :class:`Loss`.
        ignore_index: label of samples that do not count.
        class_counts: training counts; absent, :meth:`bind` brings them.

    Published code takes the margins from the class ids in reverse, which is right only where
    classes are sorted by count; here ranks decide, and classes of equal count share a margin.

    Reference: Li, Cheung and Hu, TPAMI 2023.
    """

    needs_stats = True
    scales: Tensor
    margins: Tensor
    gains: Tensor
    scale: float

    def __init__(
        self,
        margin: float = 0.2,
        scale: float = 15.0,
        base: float = 50.0,
        after: float | None = 0.6,
        largest: float = 50.0,
        *,
        weight: WeightLike = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        class_counts: Counts = None,
    ) -> None:
        self.margin = check_number("margin", margin, low=0)
        self.scale = check_number("scale", scale, low=0, above=True)
        self.base = check_number("base", base, low=1, above=True)
        self.after = after if after is None else check_switch("after", after)
        self.largest = check_number("largest", largest, low=0, above=True)
        if self.after is not None and largest < scale:
            raise ConfigError(
                f"scale={scale:g} is above largest={largest:g}, up to which the scale of rare rows grows",
                f"lower the scale, give largest={scale:g} or more, or after=None: no growth",
            )
        super().__init__(
            weight=weight,
            reduction=reduction,
            ignore_index=ignore_index,
            class_counts=class_counts,
        )

    def on_bind(self, stats: ClassStats) -> None:
        """Scales, margins in units of the logits, and gains of rows by their label."""
        scales = rows.key_point_scales(stats.counts, self.base)
        mirror = rows.mirrored(scales, stats.counts)
        self.keep("scales", scales)
        self.keep("margins", self.scale * mirror * (self.margin / scales.max()))
        top = max(self.scale, self.largest)
        self.keep("gains", (self.scale * mirror).clamp(self.scale, top) / self.scale)

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        self.bound()
        gain = None
        if self.after is not None:
            on = reached(self.progress, self.after).to(self.gains.device)
            gain = torch.where(on, self.gains, 1.0)[target]
        return adjusted_cross_entropy(
            logits,
            target,
            scale=self.scales,
            label_shift=-self.margins[target],
            row_scale=gain,
        )
