"""How gradients become a step: the ``update`` part of a stage."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from longtail.engine.optim import Average
from longtail.engine.ranks import Ranks
from longtail.types import Batch, Context, Terms

__all__ = ["Plain", "Update"]

Closure = Callable[[Context, Batch], Terms]


class Update:
    """One optimiser step from one batch, with accumulation, ranks, clipping and averaging.

    The engine calls :meth:`equip` once a stage; objectives call the update with what one
    micro-batch asks of the model. Gradients are those of
    ``sum(total * weight) / sum(weight)`` over micro-batches and ranks.
    """

    def equip(
        self,
        *,
        optimizer: torch.optim.Optimizer,
        parameters: list[nn.Parameter],
        ranks: Ranks,
        accumulate: int = 1,
        clip: float | None = None,
        scaler: Any = None,
        average: Average | None = None,
        model: nn.Module | None = None,
    ) -> Update:
        """Take what the step works with."""
        self.optimizer, self.parameters, self.ranks = optimizer, parameters, ranks
        self.accumulate, self.clip, self.scaler = accumulate, clip, scaler
        self.average, self.model = average, model
        return self

    def __call__(self, ctx: Context, closure: Closure, batch: Batch) -> Terms:
        raise NotImplementedError("an update says how a batch becomes a step")

    def constrain(self) -> None:
        """Right after the optimiser's step: bring weights back to where they may be."""

    def state_dict(self) -> dict[str, Tensor]:
        """What the update carries from step to step."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Put back what :meth:`state_dict` gave, after :meth:`equip`."""


class Plain(Update):
    """Backward, average over ranks, clip, step: ``w <- w - lr * optimiser(gradient)``."""

    def __call__(self, ctx: Context, closure: Closure, batch: Batch) -> Terms:
        for parameter in self.parameters:
            parameter.grad = None
        terms = self.backward(ctx, closure, batch)
        return self.finish(ctx, terms)

    def backward(self, ctx: Context, closure: Closure, batch: Batch) -> Terms:
        """Leave the joint gradient in ``.grad``; return the joint terms."""
        if self.accumulate == 1 and self.ranks.world == 1 and self.scaler is None:
            with ctx.autocast() if ctx.autocast else contextlib.nullcontext():
                terms = closure(ctx, batch)
            terms.total.backward()
            self.ranks.fill_(self.parameters)
            return terms
        done: list[Terms] = []
        for micro in batch.split(self.accumulate):
            with ctx.autocast() if ctx.autocast else contextlib.nullcontext():
                terms = closure(ctx, micro)
            loss = terms.total.float() * terms.weight.detach()
            if self.scaler is not None:
                loss = self.scaler.scale(loss)
            loss.backward()
            done.append(terms)
        joint = _join(done)
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        self.ranks.gradients_(self.parameters, joint.weight)
        return joint

    def finish(self, ctx: Context, terms: Terms) -> Terms:
        """Clip, step, average, and commit what waits for a successful step."""
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip)
        if self.scaler is not None:
            before = self.scaler.get_scale()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            if self.scaler.get_scale() < before:
                ctx.loss.discard()
                return terms  # overflow: no step was taken, nothing is committed
        else:
            self.optimizer.step()
        self.constrain()
        if self.average is not None and self.model is not None:
            self.average.update(self.model)
        ctx.loss.commit(self.ranks)
        for push in dict.fromkeys(terms.commit):  # what micro-batches share runs once
            push()
        return terms


def _join(done: list[Terms]) -> Terms:
    if len(done) == 1:
        return done[0]
    weight = torch.stack([t.weight.detach().float() for t in done]).sum()

    def mean(values: list[Tensor]) -> Tensor:
        pairs = zip(values, done, strict=True)
        return torch.stack([v.detach().float() * t.weight for v, t in pairs]).sum() / weight

    parts = {k: mean([t.parts[k] for t in done]) for k in done[0].parts}
    rows = [t for t in done if t.logits is not None and t.target is not None]
    return Terms(
        mean([t.total for t in done]),
        weight,
        parts,
        [push for t in done for push in t.commit],
        torch.cat([t.logits for t in rows]) if rows else None,  # type: ignore[misc]
        torch.cat([t.target for t in rows]) if rows else None,  # type: ignore[misc]
    )
