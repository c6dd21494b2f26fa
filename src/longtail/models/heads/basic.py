"""The linear and the cosine classifier, and the projector beside them."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from longtail.checks import is_finite, is_whole
from longtail.errors import ConfigError
from longtail.models.heads.base import Head, wide

__all__ = ["CosineHead", "LinearHead", "MLPProjector"]


class LinearHead(Head):
    """``z = W h + b``.

    Args:
        in_features: ``D``.
        num_classes: ``C``.
        bias: add ``b``.
        prior_bias: start with ``b = -log(C - 1)``, so that each sigmoid answers ``1/C`` and the
            many negatives of one-vs-rest losses do not lead the first steps; such a bias is
            trained without weight decay.

    Shapes:
        ``(B, D)`` to ``(B, C)``.

    Reference: ``prior_bias`` after Lin et al., ICCV 2017 and Cui et al., CVPR 2019.
    """

    def __init__(
        self, in_features: int, num_classes: int, *, bias: bool = True, prior_bias: bool = False
    ) -> None:
        super().__init__(in_features, num_classes)
        if prior_bias and not bias:
            raise ConfigError("prior_bias=true starts a bias, and bias=false has none", "drop one")
        self.prior_bias = prior_bias
        self.undecayed = ("bias",) if prior_bias else ()
        if bias:
            self.bias = nn.Parameter(torch.empty(num_classes))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in ``+-1/sqrt(D)``, a prior bias at ``-log(C - 1)``."""
        bound = 1 / math.sqrt(self.in_features)
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)
        if self.bias is not None and self.prior_bias:
            nn.init.constant_(self.bias, -math.log(self.num_classes - 1))

    def affine(self) -> tuple[Tensor, Tensor | None]:
        return self.weight, self.bias

    def forward(self, features: Tensor) -> Tensor:
        """Logits."""
        return nn.functional.linear(features, self.weight, self.bias)


class CosineHead(Head):
    """``z_c = s <h/|h|, w_c/|w_c|>``, in float32 or wider; no bias.

    A zero feature gives zero logits. With ``squash`` the feature is ``h/(1+|h|)`` in place of
    ``h/|h|``.

    Args:
        in_features: ``D``.
        num_classes: ``C``.
        scale: ``s``; margin losses must be given the same one.
        learnable: train ``log s``; the attribute ``scale`` stays the initial value.
        squash: keep a share of the feature's length.

    Shapes:
        ``(B, D)`` to ``(B, C)``.

    Reference: ``squash`` after Liu et al., CVPR 2019 (OLTR).
    """

    scale: float

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        scale: float = 30.0,
        learnable: bool = False,
        squash: bool = False,
    ) -> None:
        super().__init__(in_features, num_classes)
        if not is_finite(scale) or scale <= 0:
            raise ConfigError(f"the cosine scale must be positive, not {scale}", "try scale=30.0")
        self.scale, self.learnable, self.squash = float(scale), learnable, squash
        self.log_scale = nn.Parameter(torch.empty(())) if learnable else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Unit rows in uniformly drawn directions of the cube; the scale as constructed."""
        nn.init.uniform_(self.weight, -1, 1)
        with torch.no_grad():
            self.weight.copy_(nn.functional.normalize(self.weight, dim=1))
            if self.log_scale is not None:
                self.log_scale.fill_(math.log(self.scale))

    def forward(self, features: Tensor) -> Tensor:
        """Scaled cosines."""
        with torch.autocast(features.device.type, enabled=False):
            h, w = wide(features), wide(self.weight)
            length = h.norm(dim=1, keepdim=True) if self.squash else None
            h = nn.functional.normalize(h, dim=1)
            if length is not None:
                h = h * (length / (1 + length))
            cosines = nn.functional.linear(h, nn.functional.normalize(w, dim=1))
            scale = self.scale if self.log_scale is None else self.log_scale.exp()
            return cosines * scale


class MLPProjector(nn.Module):
    """Dense layers to a unit-length projection, for contrastive losses.

    Args:
        in_features: ``D``.
        num_classes: not used; here so that all heads are built alike.
        out_features: ``d``.
        hidden_features: width of the hidden layers; ``None`` is ``D``.
        layers: linear layers in all.
        normalise: scale each row to length 1.

    Shapes:
        ``(B, D)`` to ``(B, d)``.
    """

    scale: float | None = None

    def __init__(
        self,
        in_features: int,
        num_classes: int = 0,
        *,
        out_features: int = 32,
        hidden_features: int | None = None,
        layers: int = 2,
        normalise: bool = True,
    ) -> None:
        super().__init__()
        sizes = (in_features, out_features, layers, hidden_features or 1)
        if not is_whole(*sizes) or min(sizes) < 1:
            raise ConfigError(
                f"a projector has whole numbers of features, outputs, layers and hidden features, "
                f"at least 1 of each, not {in_features}, {out_features}, {layers} and "
                f"{hidden_features}",
                "try out_features=32, layers=2",
            )
        self.out_features, self.normalise = out_features, normalise
        hidden = hidden_features or in_features
        widths = [in_features, *[hidden] * (layers - 1), out_features]
        stack: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            stack += [nn.Linear(a, b), nn.ReLU()]
        self.layers = nn.Sequential(*stack[:-1])

    def reset_parameters(self) -> None:
        """Draw fresh weights from torch's generator."""
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()

    def forward(self, features: Tensor) -> Tensor:
        """Project."""
        out: Tensor = self.layers(features)
        if not self.normalise:
            return out
        with torch.autocast(out.device.type, enabled=False):
            return nn.functional.normalize(wide(out), dim=1)
