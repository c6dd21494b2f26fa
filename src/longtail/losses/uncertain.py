"""Margins that follow how uncertain a model is of each class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from longtail.errors import ConfigError, DataError, UnknownNameError
from longtail.functional.guided import angular_cross_entropy, angular_cross_entropy_classes
from longtail.functional.losses import margin_cross_entropy, margin_cross_entropy_classes
from longtail.losses.base import Counts, Loss, WeightLike, check_number
from longtail.types import ClassStats

__all__ = ["UncertaintyMargin"]

FORMS = ("angular", "additive")


class UncertaintyMargin(Loss):
    """A margin for the label that grows with the uncertainty of its class.

    With ``u_c`` in ``[0, 1]``, the uncertainty of class ``c`` over the largest, and
    ``m_c = margin u_c``: ``angular`` puts ``s psi((1 + m_y) theta_y)`` in the place of the label's
    ``s cos theta_y`` (``psi`` is the cosine, continued so that it falls with any angle);
    ``additive`` takes ``s m_y`` off it.

    :meth:`observe` brings the uncertainties, for example predictive variances under dropout;
    until then they are taken as ``n_c ** -1/2``, the spread of a mean of ``n_c`` samples.

    Shapes: ``(N, C)`` logits, scaled cosines; ``uncertainty`` ``(C,)``.

    Args:
        margin: of the most uncertain class; in radians a radian, or in units of the cosine.
        scale: the scale ``s`` of the head.
        form: ``angular`` or ``additive``.
        weight: class weights: a part, or ``(C,)`` numbers.
        reduction: ``mean``, ``weighted_mean``, ``sum`` or ``none``; see :class:`Loss`.
        ignore_index: label of samples that do not count.
        class_counts: training counts; absent, :meth:`bind` brings them.

    Reference: after Khan et al., *Striking the right balance with uncertainty*, CVPR 2019.
    """

    needs_stats = True
    uncertainty: Tensor
    scale: float

    def __init__(
        self,
        margin: float = 0.5,
        scale: float = 30.0,
        *,
        form: str = "angular",
        weight: WeightLike = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        class_counts: Counts = None,
    ) -> None:
        self.margin = check_number("margin", margin, low=0)
        self.scale = check_number("scale", scale, low=0, above=True)
        if form not in FORMS:
            raise UnknownNameError("form of the uncertainty margin", form, FORMS)
        if form == "angular" and margin > 1:
            raise ConfigError(
                f"an angular margin multiplies angles by 1 to 2, margin {margin} is over 1",
                "try margin=0.5, or form='additive'",
            )
        self.form = form
        super().__init__(
            weight=weight,
            reduction=reduction,
            ignore_index=ignore_index,
            class_counts=class_counts,
        )

    def on_bind(self, stats: ClassStats) -> None:
        spread = torch.where(stats.present, stats.counts.clamp_min(1) ** -0.5, 0.0)
        self.keep("uncertainty", spread / spread.max())

    def observe(self, uncertainty: Tensor | Sequence[float]) -> None:
        """Take measured uncertainties, ``(C,)`` and not negative, in any unit."""
        classes = self.bound().num_classes
        u = torch.as_tensor(uncertainty, dtype=torch.float64).detach()
        if u.shape != (classes,) or not bool((torch.isfinite(u) & (u >= 0)).all()):
            raise DataError(
                f"uncertainties must be {classes} finite numbers, not negative; got {u.tolist()}",
                "give one number for each class",
            )
        self.uncertainty.copy_(u / u.max().clamp_min(torch.finfo(u.dtype).tiny))

    def margins(self) -> Tensor:
        """``(C,)`` float64 ``margin u_c``."""
        self.bound()
        return self.margin * self.uncertainty

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        m = self.margins()
        if self.form == "angular":
            return angular_cross_entropy(logits, target, 1 + m, scale=self.scale)
        return margin_cross_entropy(logits, target, self.scale * m)

    def per_class(self, logits: Tensor) -> Tensor:
        m = self.margins()
        if self.form == "angular":
            return angular_cross_entropy_classes(logits, 1 + m, scale=self.scale)
        return margin_cross_entropy_classes(logits, self.scale * m)
