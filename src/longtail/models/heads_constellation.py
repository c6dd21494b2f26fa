"""The classifier whose classes share the shape of their spread."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from longtail.checks import is_finite, is_whole
from longtail.errors import ConfigError
from longtail.functional.constellation import constellation_cosines
from longtail.models.heads import Head

__all__ = ["ConstellationHead"]


class ConstellationHead(Head):
    """``z_j = tau max_s cos(h, w_j + d_s)``: a centre a class, ``S`` displacements for all.

    Two sets of centres share the displacements ``d`` (zero at first, ``d_0 = 0`` always there):
    ``random``, for rows as they come, teaches the displacements; ``weight``, for rows of balanced
    classes, takes them as they are and decides at test. Each set has a temperature of its own.

    Args:
        in_features: ``D``.
        num_classes: ``C``.
        displacements: ``S``, at least 1.
        scale: ``tau`` at the start; both are trained as ``log tau`` and stay positive.

    Shapes:
        ``(B, D)`` to ``(B, C)``.

    Reference: Liu et al., ICCV 2021.
    """

    scale: float
    partners = ({"objective": "constellation"},)

    def __init__(
        self, in_features: int, num_classes: int, *, displacements: int = 4, scale: float = 16.0
    ) -> None:
        super().__init__(in_features, num_classes)
        if not is_whole(displacements) or displacements < 1:
            raise ConfigError(
                f"a constellation needs at least 1 displacement, not {displacements}",
                "try displacements=4, or the cosine head for none",
            )
        if not is_finite(scale) or scale <= 0:
            raise ConfigError(f"the cosine scale must be positive, not {scale}", "try scale=16.0")
        self.scale = float(scale)
        self.random = nn.Parameter(torch.empty(num_classes, in_features))
        self.displacements = nn.Parameter(torch.empty(displacements, in_features))
        self.log_scale = nn.Parameter(torch.empty(()))
        self.random_log_scale = nn.Parameter(torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Centres of unit length in drawn directions, no displacement, the scale as constructed."""
        with torch.no_grad():
            for centres in (self.weight, self.random):
                nn.init.normal_(centres)
                centres.copy_(nn.functional.normalize(centres, dim=1))
            self.displacements.zero_()
            self.log_scale.fill_(math.log(self.scale))
            self.random_log_scale.fill_(math.log(self.scale))

    def forward(self, features: Tensor) -> Tensor:
        """Logits of the balanced centres; the displacements are taken as they are."""
        return self._logits(features, self.weight, self.displacements.detach(), self.log_scale)

    def random_logits(self, features: Tensor) -> Tensor:
        """``(B, C)`` logits of the other centres, which teach the displacements."""
        return self._logits(features, self.random, self.displacements, self.random_log_scale)

    def _logits(
        self, features: Tensor, centres: Tensor, moves: Tensor, log_scale: Tensor
    ) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            wide = torch.promote_types(features.dtype, torch.float32)
            h, w, d, t = (x.to(wide) for x in (features, centres, moves, log_scale))
            return constellation_cosines(h, w, d) * t.exp()
