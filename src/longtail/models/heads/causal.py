"""The causal classifier: what the moving mean feature adds is taken out at test time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from longtail.checks import is_finite
from longtail.errors import ConfigError
from longtail.functional.heads import causal_logits
from longtail.models.heads.base import Head, wide

__all__ = ["CausalHead"]

#: what alpha may be chosen from on validation data: 0, 0.25, ..., 4
ALPHAS = tuple(k / 4 for k in range(17))


class CausalHead(Head):
    """Multi-head cosine-like classifier with a counterfactual at test time (total direct effect).

    Feature and weight are cut into ``K`` chunks. In training mode
    ``z_c = (s/K) sum_k <h_k/|h_k|, w_ck/(|w_ck| + gamma)>``. Meanwhile ``d <- mu d + mean_batch h``
    follows the mean feature, of which only the direction is used. In eval mode the share of each
    chunk that points along ``d`` is taken out ``alpha`` times:
    ``h_k/|h_k| - alpha cos(h_k, d_k) d_k/|d_k|``. Before any training ``d`` is zero and nothing is
    taken out. Which prior the counterfactual answers to no formula says.

    Args:
        in_features: ``D``, divisible by ``heads``.
        num_classes: ``C``.
        heads: ``K``.
        scale: ``s``.
        gamma: keeps some of the length of a weight in its logit.
        alpha: strength of the counterfactual; needs no training, see :meth:`use`.
        momentum: ``mu``.

    Attributes:
        direction: ``(D,)`` buffer ``d``.
        strength: 0-d buffer, the alpha in use.

    Shapes:
        ``(B, D)`` to ``(B, C)``.

    Reference: Tang et al., NeurIPS 2020.
    """

    scale: float
    direction: Tensor
    strength: Tensor
    moving = True
    partners = ({"objective": "moving_head"},)

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        heads: int = 2,
        scale: float = 16.0,
        gamma: float = 1 / 32,
        alpha: float = 1.5,
        momentum: float = 0.9,
    ) -> None:
        super().__init__(in_features, num_classes)
        if isinstance(heads, bool) or not isinstance(heads, int):
            raise ConfigError(
                f"heads must be a whole number, not {heads!r}", "give heads a number such as 2"
            )
        if heads < 1 or in_features % heads:
            raise ConfigError(
                f"{in_features} features cannot be cut into {heads} chunks of one size",
                "give heads a divisor of the backbone's features, such as 1",
            )
        if not is_finite(scale, gamma) or scale <= 0 or gamma < 0:
            raise ConfigError(
                f"scale must be positive and gamma not negative, not {scale} and {gamma}",
                "try scale=16.0, gamma=0.03125",
            )
        if not is_finite(momentum) or not 0 <= momentum < 1:
            raise ConfigError(f"momentum must lie in [0, 1), not {momentum}", "try 0.9")
        self.scale, self.heads, self.gamma = float(scale), heads, gamma
        self.alpha, self.momentum = _alpha(alpha), momentum
        self.register_buffer("direction", torch.zeros(in_features))
        self.register_buffer("strength", torch.tensor(float(alpha), dtype=torch.float64))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights uniform in ``+-1/sqrt(D)``; no direction yet, alpha as constructed."""
        bound = self.in_features**-0.5
        nn.init.uniform_(self.weight, -bound, bound)
        self.direction.zero_()
        self.strength.fill_(self.alpha)

    def choices(self) -> Sequence[float]:
        """Alphas 0, 0.25, ..., 4, and the one in use."""
        return sorted({*ALPHAS, self.choice()})

    def choice(self) -> float:
        """The alpha in use."""
        return float(self.strength)

    def use(self, choice: float) -> None:
        """Take another alpha; any number that is not negative."""
        self.strength.fill_(_alpha(choice))

    @torch.no_grad()
    def watch(
        self, features: Tensor, targets: Sequence[tuple[Tensor, Tensor | None]]
    ) -> dict[str, Tensor]:
        """Sum of the features and number of the rows."""
        h = wide(features)
        return {"sum": h.sum(0), "rows": h.new_full((), len(h))}

    @torch.no_grad()
    def fold(self, found: dict[str, Tensor], pace: float = 1.0) -> None:
        """``d <- (1 - (1 - mu) pace) d + mean h``."""
        keep = 1 - (1 - self.momentum) * pace
        self.direction.mul_(keep).add_((found["sum"] / found["rows"]).to(self.direction.dtype))

    def forward(self, features: Tensor) -> Tensor:
        """Logits: factual in training mode, counterfactual in eval mode."""
        with torch.autocast(features.device.type, enabled=False):
            h, w = wide(features), wide(self.weight)
            d = None if self.training else self.direction.to(h.dtype)
            alpha = self.strength.to(h.dtype)
            return causal_logits(
                h, w, heads=self.heads, scale=self.scale, gamma=self.gamma, direction=d, alpha=alpha
            )


def _alpha(value: float) -> float:
    if not is_finite(value) or value < 0:
        raise ConfigError(
            f"alpha must be a number that is not negative, not {value!r}", "try 1.5 or 3.0"
        )
    return float(value)
