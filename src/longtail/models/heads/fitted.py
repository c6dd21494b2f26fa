"""What classifiers share whose parameters come from the training features."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from longtail.errors import DataError
from longtail.models.heads.base import wide
from longtail.models.heads.basic import LinearHead
from longtail.types import ClassStats

__all__ = ["FittedHead"]


class FittedHead(LinearHead):
    """Base of heads that are filled from training features when the network is trained.

    In training mode, and until :meth:`fit`, it is a linear classifier, which trains the network.
    In eval mode it then answers with what was fitted. All that is fitted lies in buffers, so that
    a state dict carries it. A class without training rows is refused under the zero-count policy
    ``error`` and else masked: its logit is the lowest finite number.

    Args:
        in_features: ``D``.
        num_classes: ``C``.

    Attributes:
        fitted: 0-d bool.
        known: ``(C,)`` bool: classes that had rows.

    Shapes:
        ``(B, D)`` to ``(B, C)``.
    """

    fitted: Tensor
    known: Tensor
    partners = ({"finish": "fit_head"},)

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__(in_features, num_classes)
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))
        self.register_buffer("known", torch.ones(num_classes, dtype=torch.bool))

    def reset_parameters(self) -> None:
        """A fresh linear classifier, nothing fitted."""
        super().reset_parameters()
        if "fitted" in self._buffers:  # not yet there when the linear part is made
            self.fitted.fill_(False)

    def affine(self) -> tuple[Tensor, Tensor | None] | None:  # type: ignore[override]
        """``None``: the logits are no linear function that is trained."""
        return None

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor, stats: ClassStats) -> Self:
        """Fill the buffers.

        Args:
            features: ``(N, D)`` of all training rows, in eval mode.
            labels: ``(N,)`` class ids.
            stats: names and zero-count policy.

        Raises:
            DataError: a class without rows (policy ``error``), features that do not fit or are
                not finite, or labels outside ``[0, C)``.
        """
        if features.shape != (len(labels), self.in_features) or not bool(
            torch.isfinite(features).all()
        ):
            raise DataError(
                f"features {tuple(features.shape)} of {len(labels)} rows must be finite and "
                f"({len(labels)}, {self.in_features})",
                "collect them from the network that this head belongs to, after it has trained",
            )
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.num_classes:
            raise DataError(
                f"labels from {int(labels.min())} to {int(labels.max())} for a head of "
                f"{self.num_classes} classes",
                f"give class ids from 0 to {self.num_classes - 1}",
            )
        h, y = features.detach().cpu().double(), labels.cpu()
        counts = torch.bincount(y, minlength=self.num_classes)
        empty = torch.nonzero(counts == 0).flatten().tolist()
        if empty and stats.on_empty == "error":
            raise DataError(
                f"{len(empty)} classes have no training row to take a mean of: "
                + ", ".join(stats.names[c] for c in empty[:8]),
                "add rows, or choose a policy that masks them: on_empty='ignore'",
            )
        self.known.copy_(counts > 0)
        self.on_fit(h, y, counts.double())
        self.fitted.fill_(True)
        return self

    def on_fit(self, features: Tensor, labels: Tensor, counts: Tensor) -> None:
        """Write the buffers from ``(N, D)`` float64 features, ``(N,)`` labels, ``(C,)`` counts."""
        raise NotImplementedError

    def answer(self, features: Tensor) -> Tensor:
        """``(B, C)`` logits of what was fitted, from float32 features or wider."""
        raise NotImplementedError

    def forward(self, features: Tensor) -> Tensor:
        """Logits: linear in training mode and before the fit, else :meth:`answer`."""
        z = super().forward(features)
        if self.training:
            return z
        with torch.autocast(features.device.type, enabled=False):
            found = self.answer(wide(features))
            found = torch.where(self.known, found, torch.finfo(found.dtype).min)
            return torch.where(self.fitted, found, z.to(found.dtype))


def class_means(features: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """``(C, D)`` means; zero for a class without rows."""
    sums = features.new_zeros(len(counts), features.shape[1]).index_add_(0, labels, features)
    return sums / counts.clamp_min(1)[:, None]
