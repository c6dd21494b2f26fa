"""Balanced meta-softmax: class rates that learn which rows the classifier should see."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from longtail.checks import is_finite
from longtail.errors import ConfigError
from longtail.functional.meta_sampling import drawn_entry, initial_rates, rated_draw
from longtail.functional.noise import spread
from longtail.objectives.base import Objective, row_mean, supervised_terms
from longtail.objectives.rows import unmixed
from longtail.registry import part
from longtail.types import Batch, Context, Outputs, Terms

__all__ = ["MetaSampler"]

LIMIT = 15.0


class Rates(nn.Module):
    """``omega (C,)``; the rate of a class is ``sigmoid(omega_c)``."""

    def __init__(self, omega: Tensor) -> None:
        super().__init__()
        self.omega = nn.Parameter(omega)

    def forward(self) -> Tensor:
        """``(C,)`` rates."""
        return self.omega.sigmoid()


class MetaSampler(Objective):
    """Train the classifier on rows drawn with ``P(c) ~ n_c sigmoid(omega_c)``; ``omega`` learns.

    A step is: (1) draw ``B`` rows at the rates as they stand, with straight-through one-hot
    rows, and take a virtual step of the classifier on the mean of their losses times those
    entries; (2) ``omega <- Adam(grad CE)`` of the virtual classifier on the batch of the stage's
    sampler, which is class-balanced, and keep ``omega`` within +-15; (3) the ordinary update of
    the classifier on the rows drawn in (1). Nothing but the head is trained. The rows are drawn
    within the step from the plan's numbers and are not augmented; the virtual step is one of
    plain gradient descent at the current rate, without momentum or weight decay.

    Args:
        power: ``a`` of the initial rates, ``sigmoid(omega) ~ pi^-a``; 0 starts them alike.
        temperature: of the straight-through softmax.

    Shapes: two batches of ``B`` rows; rates ``(C,)``.

    Reference: Ren et al., NeurIPS 2020.
    """

    private = {"rates": part("adam", lr=0.01)}  # noqa: RUF012
    draws = 3
    second_order = True
    rates: Rates
    counts: Tensor
    order: Tensor
    starts: Tensor

    def __init__(self, power: float = 0.0, temperature: float = 1.0) -> None:
        super().__init__()
        if not is_finite(power, temperature) or temperature <= 0:
            raise ConfigError(
                f"power must be finite and temperature positive, not {power} and {temperature}",
                "0.0 and 1.0 are usual",
            )
        self.power, self.temperature = power, temperature

    def setup(self, ctx: Context) -> None:
        head = {id(p) for p in ctx.model.head.parameters()}
        named = ctx.model.named_parameters()
        others = [n for n, p in named if p.requires_grad and id(p) not in head]
        if others:
            raise ConfigError(
                f"learned class rates train the classifier alone, and {others[0]} is trained too",
                "set trains=head for this stage",
            )
        device = ctx.progress.epoch.device
        labels = ctx.data.labels.cpu()
        counts = torch.bincount(labels, minlength=ctx.num_classes)
        self.rates = Rates(initial_rates(ctx.stats.prior, self.power).float().to(device))
        self.register_buffer("counts", counts.to(device))
        self.register_buffer("order", torch.argsort(labels, stable=True).to(device))
        self.register_buffer("starts", (counts.cumsum(0) - counts).to(device))

    def terms(self, ctx: Context, batch: Batch) -> Terms:
        return self._fit(ctx, self._draw(ctx, batch)[0])

    def step(self, ctx: Context, batch: Batch) -> Terms:
        optimizer, omega = ctx.optimizers["rates"], self.rates.omega
        optimizer.zero_grad(set_to_none=True)
        drawn, rows = [], torch.zeros((), device=omega.device)
        for meta in batch.split(ctx.update.accumulate):
            micro, entry = self._draw(ctx, meta)
            drawn.append(micro)
            (self._meta_loss(ctx, micro, entry, meta) * len(meta)).backward(inputs=[omega])
            rows += len(meta)
        ctx.ranks.gradients_([omega], rows)
        optimizer.step()
        with torch.no_grad():
            omega.clamp_(-LIMIT, LIMIT)
        result: Terms = ctx.update(ctx, self._fit, _joined(drawn))
        return result

    def _draw(self, ctx: Context, batch: Batch) -> tuple[Batch, Tensor]:
        """Rows at the current rates, as features, and the entries of their one-hot rows."""
        u = unmixed(batch, "a balanced batch").draws
        assert u is not None
        noise = spread(u[:, 0], ctx.num_classes)
        label, one_hot = rated_draw(
            self.rates.omega, self.counts.float(), noise, temperature=self.temperature
        )
        n = self.counts[label]
        place = (u[:, 1].double() + u[:, 2].double() * 2.0**-24) * n
        position = self.order[self.starts[label] + place.long().clamp_max(n - 1)]
        weight = ctx.data.weight
        own = position.to(ctx.data.labels.device)
        x = ctx.data.rows(own).to(u.device)
        row = Batch(
            (_features(ctx, x),),
            label,
            position,
            None if weight is None else weight[own].to(u.device),
            noise=batch.noise,
        )
        return row, drawn_entry(one_hot, label)

    def _fit(self, ctx: Context, rows: Batch) -> Terms:
        """The stage's loss of drawn rows."""
        features = rows.views[0]
        terms = supervised_terms(ctx, Outputs(ctx.model.head(features), features), rows)
        rates = self.rates().detach()
        parts = {"lowest_rate": rates.min(), "highest_rate": rates.max()}
        return Terms(terms.total, terms.weight, parts, (), terms.logits, terms.target)

    def _meta_loss(self, ctx: Context, rows: Batch, entry: Tensor, meta: Batch) -> Tensor:
        """Cross-entropy on the balanced batch after a virtual step of the head."""
        head, features = ctx.model.head, rows.views[0]
        own = {k: p for k, p in head.named_parameters() if p.requires_grad}
        weight = entry if rows.sample_weight is None else entry * rows.sample_weight
        ctx.loss.key(rows.noise)
        top, base = ctx.loss.sums(
            head(features).float(), rows.target, features=features, sample_weight=weight
        )
        grads = torch.autograd.grad(top / base, list(own.values()), create_graph=True)
        rate = ctx.optimizers["model"].param_groups[0]["lr"]
        ahead = {k: p - rate * g for (k, p), g in zip(own.items(), grads, strict=True)}
        logits = functional_call(head, ahead, (_features(ctx, meta.views[0]),))
        return row_mean(F.cross_entropy(logits.float(), meta.target, reduction="none"), meta)


@torch.no_grad()
def _features(ctx: Context, x: Tensor) -> Tensor:
    with ctx.autocast() if ctx.autocast else contextlib.nullcontext():
        features: Tensor = ctx.model(x).features
    return features.float()


def _joined(micros: list[Batch]) -> Batch:
    """Drawn micro-batches as one batch, which splits into the same again."""

    def cat(values: list[Tensor | None]) -> Tensor | None:
        known = [v for v in values if v is not None]
        return torch.cat(known) if known else None

    return Batch(
        (torch.cat([m.views[0] for m in micros]),),
        torch.cat([m.target for m in micros]),
        torch.cat([m.index for m in micros]),
        cat([m.sample_weight for m in micros]),
        noise=cat([m.noise for m in micros]),
    )
