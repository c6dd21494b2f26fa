"""Manifold mixup: mix two rows at a hidden cut of the network."""

from __future__ import annotations

import torch

from longtail.checks import is_finite
from longtail.errors import ConfigError, UnknownNameError
from longtail.functional.mixing import mix_rows, mixup_weight
from longtail.objectives.base import Objective, supervised_terms
from longtail.types import Batch, Context, Terms

__all__ = ["ManifoldMixup"]


class ManifoldMixup(Objective):
    """``h <- lam h + (1 - lam) h[r]`` at one cut, the targets mixed alike.

    ``lam ~ Beta(alpha, alpha)`` a step; the cut is drawn each step from the network's cuts
    and, for images, the input, or is the one named (``"pool"`` mixes the features before the head).

    Args:
        alpha: of the Beta distribution; 0 mixes nothing.
        cut: ``"random"`` or the name of a cut.

    Reference: Verma et al., ICML 2019.
    """

    draws = 1
    step_draws = 2

    def __init__(self, alpha: float = 1.0, cut: str = "random") -> None:
        super().__init__()
        if not is_finite(alpha) or alpha < 0:
            raise ConfigError(
                f"alpha must be finite and not negative, got {alpha}", "try alpha=1.0"
            )
        self.alpha, self.cut = alpha, cut

    def setup(self, ctx: Context) -> None:
        if self.cut != "random" and self.cut not in ctx.model.cuts:
            raise UnknownNameError("cut of this backbone", self.cut, ctx.model.cuts)

    def terms(self, ctx: Context, batch: Batch) -> Terms:
        assert batch.draws is not None
        assert batch.step_draws is not None
        lam = float(mixup_weight(batch.step_draws[0], self.alpha))
        partner = torch.argsort(batch.draws[:, 0], stable=True)
        cut = self._cut(ctx, batch.views[0].ndim == 4, float(batch.step_draws[1]))
        h = batch.views[0] if cut is None else ctx.model.forward_to(batch.views[0], cut)
        h = mix_rows(h, partner, lam)
        outputs = ctx.model(h) if cut is None else ctx.model.forward_from(h, cut)
        share = torch.full((len(batch),), lam, device=h.device)
        mixed = [(batch.target, share), (batch.target[partner], 1 - share)]
        return supervised_terms(ctx, outputs, batch.with_(mixed=mixed))

    def _cut(self, ctx: Context, images: bool, u: float) -> str | None:
        if self.cut != "random":
            return self.cut
        choices: list[str | None] = [*([None] if images else []), *ctx.model.cuts]
        return choices[min(int(u * len(choices)), len(choices) - 1)]
