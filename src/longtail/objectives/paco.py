"""Parametric contrastive learning: class centres among the keys of a slow twin."""

from __future__ import annotations

import functools

import torch
from torch.nn import functional as F

from longtail.checks import is_finite, is_whole
from longtail.errors import ConfigError
from longtail.functional.contrastive import paco_loss
from longtail.models import Queue, Twin
from longtail.objectives.base import Objective, row_mean
from longtail.types import Batch, Context, Terms

__all__ = ["PaCo"]


class PaCo(Objective):
    """Contrast a view with class centres, with the other view's key and with a queue of keys.

    For an anchor with label ``y``: logits ``u = [c + log pi, q.F / T]`` over class centres and
    bank ``F = [q; k; queue]``, weights ``w = [beta 1(c = y), alpha 1(y_j = y)]``,
    ``L = - sum w log softmax(u) / sum w``. Keys come from a moving average of the network, which
    follows after every step; prediction is the argmax of the raw centre logits.

    Args:
        alpha: weight of a positive key; ``beta`` that of the own centre.
        temperature: ``T``.
        queue: keys kept (at most the number of training rows).
        momentum: of the moving average.

    Shapes: two views ``(B, ...)``, projection ``(B, d)``, queue ``(K, d)``.

    Reference: Cui et al., ICCV 2021.
    """

    owns_loss = True

    def __init__(
        self,
        alpha: float = 0.05,
        beta: float = 1.0,
        temperature: float = 0.07,
        queue: int = 1024,
        momentum: float = 0.999,
    ) -> None:
        super().__init__()
        known = is_finite(alpha, beta, temperature, momentum) and is_whole(queue)
        if (
            not known
            or alpha < 0
            or beta <= 0
            or temperature <= 0
            or not 0 <= momentum < 1
            or queue < 1
        ):
            raise ConfigError(
                "paco needs alpha >= 0, beta > 0, temperature > 0, queue >= 1 and momentum in [0, 1)",
                f"got alpha={alpha} beta={beta} temperature={temperature} queue={queue} momentum={momentum}",
            )
        self.alpha, self.beta, self.temperature = alpha, beta, temperature
        self.size, self.momentum = queue, momentum

    def setup(self, ctx: Context) -> None:
        if ctx.model.projector is None:
            raise ConfigError(
                "paco needs a projector", "set projector=mlp_projector(out_features=32)"
            )
        self.twin = Twin(ctx.model)
        self.follow = functools.partial(self.twin.update, ctx.model, self.momentum)
        width = ctx.model.projector.out_features
        self.queue = Queue(min(self.size, len(ctx.data)), width)
        self.register_buffer("log_prior", ctx.stats.log_prior.float())
        self.log_prior: torch.Tensor

    def terms(self, ctx: Context, batch: Batch) -> Terms:
        if len(batch.views) < 2:
            raise ConfigError("paco needs two views of each row", "set views=[null, null]")
        outputs = ctx.model(batch.views[0])
        with torch.no_grad():
            keys = F.normalize(self.twin(batch.views[1]).projection.float(), dim=1)
        anchors = F.normalize(outputs.projection.float(), dim=1)
        bank = torch.cat([anchors, keys, self.queue.keys.to(anchors.dtype)])
        labels = torch.cat([batch.target, batch.target, self.queue.labels])
        losses = paco_loss(
            outputs.logits.float(),
            bank,
            labels,
            log_prior=self.log_prior,
            alpha=self.alpha,
            beta=self.beta,
            temperature=self.temperature,
            reduction="none",
        )
        total = row_mean(losses, batch)

        def commit() -> None:
            gathered = ctx.ranks.gather_rows(keys), ctx.ranks.gather_rows(batch.target)
            self.queue.push(*gathered)

        pushes = (commit, self.follow)
        weight = torch.as_tensor(float(len(batch)), device=total.device)
        return Terms(total, weight, {}, pushes, outputs.logits.detach(), batch.target)
