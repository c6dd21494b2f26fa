"""The von Mises-Fisher classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from longtail.checks import is_finite
from longtail.errors import ConfigError
from longtail.functional.heads import log_bessel
from longtail.models.heads.base import Head, wide

__all__ = ["VmfHead"]


class VmfHead(Head):
    """``z_c = k_c cos(h, m_c) + log C_D(k_c)``: directions around a mean, a concentration a class.

    ``log C_D(k) = v log k - log I_v(k)`` with ``v = D/2 - 1``, up to a constant of all classes.
    Its logits are log densities of the class: with a loss that adds the log of the class counts in
    training (balanced softmax) the raw softmax answers to the uniform prior.

    Args:
        in_features: ``D >= 2``.
        num_classes: ``C``.
        kappa: concentration at the start; it never acts below 1.
        normaliser: add ``log C_D``; without it, as published code tests, a concentrated class gains
            by its concentration.

    Attributes:
        concentration: ``(C,)`` parameter.

    Shapes:
        ``(B, D)`` to ``(B, C)``.

    Reference: Wang et al., ECCV 2022.
    """

    def __init__(
        self, in_features: int, num_classes: int, *, kappa: float = 16.0, normaliser: bool = True
    ) -> None:
        super().__init__(in_features, num_classes)
        if in_features < 2:
            raise ConfigError("directions need at least 2 features", "use another head")
        if not is_finite(kappa) or kappa < 1:
            raise ConfigError(f"kappa must be at least 1, not {kappa}", "16 is usual")
        self.kappa, self.normaliser = float(kappa), normaliser
        self.concentration = nn.Parameter(torch.empty(num_classes))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights uniform in ``+-1/sqrt(D)``, concentrations as constructed."""
        bound = self.in_features**-0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.constant_(self.concentration, self.kappa)

    def forward(self, features: Tensor) -> Tensor:
        """Log densities, up to a constant."""
        with torch.autocast(features.device.type, enabled=False):
            h, w = wide(features), wide(self.weight)
            raw = wide(self.concentration)
            kappa = raw + (raw.clamp_min(1) - raw).detach()  # a gradient also below the bound
            cosines = nn.functional.linear(
                nn.functional.normalize(h, dim=1), nn.functional.normalize(w, dim=1)
            )
            z = kappa * cosines
            if not self.normaliser:
                return z
            order = self.in_features / 2 - 1
            k = kappa.double()
            return z + (order * k.log() - log_bessel(order, k)).to(z.dtype)
