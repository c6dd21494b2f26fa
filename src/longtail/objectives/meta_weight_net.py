"""Meta-Weight-Net: a small network weighs each sample, taught by a balanced meta set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from longtail.errors import ConfigError, UnknownNameError
from longtail.functional.weights import is_whole
from longtail.objectives.base import Objective, Stream, row_mean
from longtail.objectives.rows import unmixed
from longtail.registry import part
from longtail.types import Batch, Context, Terms

__all__ = ["MetaWeightNet"]


class MetaWeightNet(Objective):
    """``V(l_i)`` in (0, 1) weighs the loss of row ``i``; ``V`` learns through a virtual step.

    A step is: (1) ``w' = w - lr grad_w (1/B) sum_i V(l_i) l_i`` on cloned parameters and buffers,
    in float32; (2) ``V <- Adam(grad_V CE_meta(w'))``; (3) the ordinary update of ``w`` with
    ``(1/B) sum_i V(l_i) l_i``, ``V`` fixed. ``V`` is an MLP 1 - ``hidden`` - 1 with a sigmoid.

    Args:
        hidden: width of the weighing network.
        virtual: ``"all"`` differentiates through a step of every parameter, ``"head"`` through a
            step of the classifier only (cheap).

    Reference: Shu et al., NeurIPS 2019.
    """

    streams = {"meta": lambda stats, objective: Stream(part("class_balanced"), "meta")}  # noqa: RUF012
    private = {"weigh": part("adam", lr=1e-3, weight_decay=1e-4)}  # noqa: RUF012
    second_order = True
    owns_loss = True

    def __init__(self, hidden: int = 100, virtual: str = "all") -> None:
        super().__init__()
        if not is_whole(hidden) or hidden < 1:
            raise ConfigError(
                f"hidden must be at least 1, not {hidden}", "100 is the published width"
            )
        if virtual not in ("all", "head"):
            raise UnknownNameError("virtual step", virtual, ("all", "head"))
        self.hidden, self.virtual = hidden, virtual
        self.weigh: Callable[[Tensor], Tensor] = nn.Identity()

    def setup(self, ctx: Context) -> None:
        self.weigh = nn.Sequential(
            nn.Linear(1, self.hidden), nn.ReLU(), nn.Linear(self.hidden, 1), nn.Sigmoid()
        ).to(ctx.progress.epoch.device)

    def terms(self, ctx: Context, batch: Batch) -> Terms:
        logits = ctx.model(batch.views[0]).logits
        losses = F.cross_entropy(logits.float(), batch.target, reduction="none")
        with torch.no_grad():
            weights = self._weights(losses)
        total = row_mean(weights * losses, batch)
        rows = torch.as_tensor(float(len(batch)), device=total.device)
        parts = {"weight": weights.mean()}
        return Terms(total, rows, parts, (), logits.detach(), batch.target)

    def step(self, ctx: Context, batch: Batch) -> Terms:
        unmixed(batch, "a meta step")
        optimizer = ctx.optimizers["weigh"]
        optimizer.zero_grad(set_to_none=True)
        rows = torch.zeros((), device=batch.target.device)
        for micro in batch.split(ctx.update.accumulate):
            meta = micro.extra["meta"]
            (self._meta_loss(ctx, micro, meta) * len(meta)).backward(inputs=self._inner())
            rows += len(meta)
        ctx.ranks.gradients_(self._inner(), rows)
        optimizer.step()
        result: Terms = ctx.update(ctx, self.terms, batch)
        return result

    def _inner(self) -> list[nn.Parameter]:
        return list(self.parameters())

    def _weights(self, losses: Tensor) -> Tensor:
        return self.weigh(losses.detach()[:, None])[:, 0]

    def _meta_loss(self, ctx: Context, batch: Batch, meta: Batch) -> Tensor:
        """Loss of the meta batch after a virtual step on clones."""
        model = ctx.model
        fixed: dict[str, Any] = dict(model.named_parameters())
        moved = {k: p for k, p in fixed.items() if p.requires_grad and self._moves(k)}
        buffers = {k: b.clone() for k, b in model.named_buffers()}
        logits = functional_call(model, {**fixed, **buffers}, (batch.views[0],)).logits
        losses = F.cross_entropy(logits.float(), batch.target, reduction="none")
        virtual = row_mean(self._weights(losses) * losses, batch)
        grads = torch.autograd.grad(
            virtual, list(moved.values()), create_graph=True, allow_unused=True
        )
        rate = ctx.optimizers["model"].param_groups[0]["lr"]
        ahead = {
            k: p if g is None else p - rate * g
            for (k, p), g in zip(moved.items(), grads, strict=True)
        }
        meta_logits = functional_call(model, {**fixed, **ahead, **buffers}, (meta.views[0],)).logits
        return row_mean(F.cross_entropy(meta_logits.float(), meta.target, reduction="none"), meta)

    def _moves(self, name: str) -> bool:
        return self.virtual == "all" or name.startswith("head.")
