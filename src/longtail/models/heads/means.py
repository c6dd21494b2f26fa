"""The nearest-class-mean classifier."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.errors import UnknownNameError
from longtail.models.heads.fitted import FittedHead, class_means

__all__ = ["NearestMeanHead"]

NORMALISE = ("none", "l2", "cl2n")
DISTANCES = ("l2", "dot")


class NearestMeanHead(FittedHead):
    """``z_c = -|g(h) - m_c|^2`` with ``m_c`` the mean of ``g(h)`` over the training rows of ``c``.

    The transform ``g``: ``none`` keeps the feature, ``l2`` divides it by its length, ``cl2n``
    subtracts the mean of all training features first. Means are not normalised again.

    Args:
        in_features: ``D``.
        num_classes: ``C``.
        normalise: ``none``, ``l2`` or ``cl2n``; ``None`` fits all three, to be chosen on
            validation data with :meth:`use` (``cl2n`` until then).
        distance: ``l2``, or ``dot`` for ``z_c = g(h) . m_c / D``.

    Attributes:
        centre: ``(D,)`` mean of all training features.
        means: ``(K, C, D)``, one plane a transform that was fitted.
        form: 0-d int64, the plane in use.

    Shapes:
        ``(B, D)`` to ``(B, C)``.

    Reference: Kang et al., ICLR 2020.
    """

    centre: Tensor
    means: Tensor
    form: Tensor

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        normalise: str | None = "cl2n",
        distance: str = "l2",
    ) -> None:
        if normalise is not None and normalise not in NORMALISE:
            raise UnknownNameError("normalisation of features", normalise, NORMALISE)
        if distance not in DISTANCES:
            raise UnknownNameError("distance", distance, DISTANCES)
        super().__init__(in_features, num_classes)
        self.normalise, self.distance = normalise, distance
        self.forms = NORMALISE if normalise is None else (normalise,)
        self.register_buffer("centre", torch.zeros(in_features))
        self.register_buffer("means", torch.zeros(len(self.forms), num_classes, in_features))
        self.register_buffer("form", torch.tensor(len(self.forms) - 1))

    def choices(self) -> Sequence[str]:
        """The transforms that were fitted."""
        return self.forms if len(self.forms) > 1 else ()

    def choice(self) -> str:
        """The transform in use."""
        return self.forms[int(self.form)]

    def use(self, choice: str) -> None:
        """Answer with one of the transforms that were fitted."""
        if choice not in self.forms:
            raise UnknownNameError("fitted normalisation of features", choice, self.forms)
        self.form.fill_(self.forms.index(choice))

    def on_fit(self, features: Tensor, labels: Tensor, counts: Tensor) -> None:
        centre = features.mean(0)
        self.centre.copy_(centre)
        for plane, form in enumerate(self.forms):
            self.means[plane].copy_(class_means(_moved(features, centre, form), labels, counts))

    def answer(self, features: Tensor) -> Tensor:
        centre = self.centre.to(features.dtype)
        forms = torch.stack([_moved(features, centre, form) for form in self.forms])
        h = forms.index_select(0, self.form[None])[0]
        means = self.means.index_select(0, self.form[None])[0].to(h.dtype)
        if self.distance == "dot":
            return h @ means.T / self.in_features
        middle = means.mean(0)  # distances do not see a shift, and short vectors lose no digits
        h, means = h - middle, means - middle
        return 2 * (h @ means.T) - h.square().sum(1, keepdim=True) - means.square().sum(1)


def _moved(features: Tensor, centre: Tensor, form: str) -> Tensor:
    if form == "cl2n":
        features = features - centre
    return features if form == "none" else F.normalize(features, dim=1)
