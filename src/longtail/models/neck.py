"""A network whose features pass one more layer before the head."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from longtail.checks import is_whole
from longtail.errors import ConfigError
from longtail.models.backbones import Backbone
from longtail.models.networks import SingleNetwork
from longtail.types import Outputs

__all__ = ["Neck", "NeckNetwork"]


class Neck(nn.Module):
    """Optional projection, BatchNorm, and scaling to length one.

    A training batch of a single row has no statistics of its own: it uses the running ones.

    Args:
        in_features: ``D``.
        width: ``P``, width after a linear projection without bias; ``None``: no projection.
        normalise: scale rows to length one.

    Shapes:
        ``(B, D)`` to ``(B, P)``.
    """

    def __init__(self, in_features: int, width: int | None, *, normalise: bool = True) -> None:
        super().__init__()
        if width is not None and (not is_whole(width) or width < 1):
            raise ConfigError(f"a neck needs a width of at least 1, not {width}", "leave it out")
        self.features, self.normalise = width or in_features, normalise
        self.project = None if width is None else nn.Linear(in_features, width, bias=False)
        self.norm = nn.BatchNorm1d(self.features)

    def forward(self, features: Tensor) -> Tensor:
        """Features for the head."""
        h = features if self.project is None else self.project(features)
        norm = self.norm
        if self.training and len(h) > 1:
            h = norm(h)
        else:
            h = nn.functional.batch_norm(
                h, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
            )
        if not self.normalise:
            return cast(Tensor, h)
        with torch.autocast(h.device.type, enabled=False):
            wide = h.float() if h.dtype in (torch.float16, torch.bfloat16) else h
            return nn.functional.normalize(wide, dim=1)


class NeckNetwork(SingleNetwork):
    """One backbone, a neck, one head; the features of its outputs are those after the neck.

    Shapes:
        ``logits (B, C)``, ``features (B, P)``, ``projection (B, d)`` or ``None``.
    """

    def __init__(
        self,
        normalise: nn.Module,
        backbone: Backbone,
        neck: Neck,
        head: nn.Module,
        projector: nn.Module | None,
    ) -> None:
        super().__init__(normalise, backbone, head, projector, neck.features)
        self.neck = neck

    def hidden(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.neck(self.backbone(x)))

    def forward_from(self, h: Tensor, cut: str) -> Outputs:
        return self.read_out(self.neck(self.backbone.forward_from(h, cut)))
