"""Meta-Weight-Net: a small network weighs each sample, taught by a balanced meta set."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.nn import functional as F

from longtail.checks import is_whole
from longtail.errors import ConfigError, UnknownNameError
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
            (self._taught(ctx, micro, meta) * len(meta)).backward(inputs=self._inner())
            rows += len(meta)
        ctx.ranks.gradients_(self._inner(), rows)
        optimizer.step()
        result: Terms = ctx.update(ctx, self.terms, batch)
        return result

    def _inner(self) -> list[nn.Parameter]:
        return list(self.parameters())

    def _weights(self, losses: Tensor) -> Tensor:
        return self.weigh(losses.detach()[:, None])[:, 0]

    def _taught(self, ctx: Context, batch: Batch, meta: Batch) -> Tensor:
        """A number whose gradient for ``V`` is that of the meta batch's loss at ``w'``.

        ``w'`` is linear in the weights, so the loss changes with the weight of row ``i`` by ``-lr``
        times the slope of ``l_i`` at ``w`` along the meta gradient ``grad_w' CE_meta(w')``: one pass
        of forward differentiation gives the slopes of all rows, and no step is differentiated.
        """
        model = ctx.model
        params: dict[str, Any] = dict(model.named_parameters())
        moved = {k: p for k, p in params.items() if p.requires_grad and self._moves(k)}
        buffers = {k: b.clone() for k, b in model.named_buffers()}
        rate = ctx.optimizers["model"].param_groups[0]["lr"]

        def losses(rows: Batch, **changed: Tensor) -> Tensor:
            given = ({**params, **changed, **buffers}, (rows.views[0],))
            logits: Tensor = functional_call(model, *given).logits
            return F.cross_entropy(logits.float(), rows.target, reduction="none")

        before = losses(batch)
        weights = self._weights(before)
        step = _gradients(row_mean(weights.detach() * before, batch), moved)
        ahead = {k: (p - rate * step[k]).detach().requires_grad_() for k, p in moved.items()}
        along = _gradients(row_mean(losses(meta, **ahead), meta), ahead)
        with torch.no_grad(), _forward_mode():
            dual = {k: forward_ad.make_dual(p.detach(), along[k]) for k, p in moved.items()}
            slopes = forward_ad.unpack_dual(losses(batch, **dual)).tangent
        taught: Tensor = -rate * row_mean(weights * slopes, batch)
        return taught

    def _moves(self, name: str) -> bool:
        return self.virtual == "all" or name.startswith("head.")


@contextlib.contextmanager
def _forward_mode() -> Iterator[None]:
    """A level of forward differentiation, without what torch says of itself at the first one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with forward_ad.dual_level():
            yield


def _gradients(value: Tensor, of: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gradients by name; zeros where nothing depends on it."""
    found = torch.autograd.grad(value, list(of.values()), allow_unused=True)
    pairs = zip(of.items(), found, strict=True)
    return {k: torch.zeros_like(p) if g is None else g for (k, p), g in pairs}
