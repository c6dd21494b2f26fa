"""Dropout on features, in training and to measure how uncertain each class is."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.checks import is_finite, is_whole
from longtail.errors import ConfigError
from longtail.functional.noise import spread
from longtail.functional.random import uniforms
from longtail.losses.uncertain import UncertaintyMargin
from longtail.objectives.base import Objective, supervised_terms
from longtail.types import Batch, Context, Terms

__all__ = ["MeasuredUncertainty"]

_ROWS = 1 << 13


class MeasuredUncertainty(Objective):
    """The stage's loss on features under dropout; its margins follow the measured uncertainty.

    At the start of every epoch but the first: with ``p_t = softmax(head(h * mask_t))``,
    ``u_c = mean_{i: y_i = c} sum_j Var_t p_tj(x_i)`` over ``passes`` masks. The features of all
    training rows are computed once (eval mode, not augmented); only the head is run ``passes``
    times. The loss of the stage is ``uncertainty_margin``, which takes the ``u_c``.

    Args:
        dropout: share of the features that are dropped, in training and when measuring.
        passes: masks, at least 2.

    Shapes: ``h`` ``(B, D)``, ``u`` ``(C,)``.

    Reference: after Khan et al., CVPR 2019, and Gal and Ghahramani, ICML 2016 (MC dropout).
    """

    draws = 1

    def __init__(self, dropout: float = 0.2, passes: int = 8) -> None:
        super().__init__()
        if not is_finite(dropout) or not 0 < dropout < 1:
            raise ConfigError(
                f"dropout must lie between 0 and 1, not {dropout}: it is what shows uncertainty",
                "try dropout=0.2",
            )
        if not is_whole(passes) or passes < 2:
            raise ConfigError(f"{passes} passes show no variance", "try passes=8")
        self.dropout, self.passes = dropout, passes

    def setup(self, ctx: Context) -> None:
        if not isinstance(ctx.loss, UncertaintyMargin):
            raise ConfigError(
                f"measured_uncertainty feeds the margins of uncertainty_margin, and the loss is "
                f"{type(ctx.loss).__name__}",
                "set loss=uncertainty_margin, or objective=supervised",
            )

    def refresh(self, ctx: Context) -> None:
        epoch = int(ctx.progress.epoch)
        if epoch == 0 or ctx.collect is None:
            return
        features, labels = ctx.collect(ctx.data, "features"), ctx.data.labels.cpu()
        keys = [
            torch.from_numpy(uniforms(ctx.seed, "uncertainty", epoch, t, n=len(labels)))
            for t in range(self.passes)
        ]
        rows = torch.arange(len(labels)).split(_ROWS)
        variance = torch.cat([self._variance(ctx, features[r], [k[r] for k in keys]) for r in rows])
        counts = torch.bincount(labels, minlength=ctx.num_classes)
        sums = torch.bincount(labels, variance, ctx.num_classes)
        ctx.loss.observe(sums / counts.clamp_min(1))

    @torch.no_grad()
    def _variance(self, ctx: Context, features: Tensor, keys: list[Tensor]) -> Tensor:
        """``(B,)`` float64 variance of the probabilities over masks, summed over classes."""
        device = ctx.progress.epoch.device
        h = features.to(device)
        said = [ctx.model.classify(self._dropped(h, k.to(device))).softmax(1) for k in keys]
        return torch.stack(said).double().var(0, correction=0).sum(1).cpu()

    def terms(self, ctx: Context, batch: Batch) -> Terms:
        assert batch.draws is not None
        outputs = ctx.model(batch.views[0])
        logits = ctx.model.classify(self._dropped(outputs.features, batch.draws[:, 0]))
        return supervised_terms(ctx, outputs.with_logits(logits), batch)

    def _dropped(self, h: Tensor, keys: Tensor) -> Tensor:
        """Features with a share of zeros, the rest larger; masks are keyed by row."""
        keep = spread(keys, h.shape[1]) >= self.dropout
        return h * keep.to(h.dtype) / (1 - self.dropout)
