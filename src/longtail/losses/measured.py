"""Class weights that are measured anew at every epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from longtail.checks import is_finite, is_whole
from longtail.errors import ConfigError, DataError, UnknownNameError
from longtail.functional.measured import (
    DYNAMIC,
    difficulty_weights,
    effective_area,
    mean_one,
)
from longtail.functional.random import permutation
from longtail.losses.weights import Counts, Weight
from longtail.schedules import check_switch
from longtail.types import ClassStats, Context

__all__ = ["Difficulty", "EffectiveArea"]

#: rows of features that are held twice at a time
_CHUNK = 1 << 15


class Difficulty(Weight):
    """``w_c ~ d_c ** tau``, of mean one, with ``d_c = 1 - A_c`` from validation accuracy ``A_c``.

    The engine measures at the start of every epoch but the first of the stage, whose weights are
    ones; a loop of one's own calls :meth:`observe`. A class that is always right keeps
    ``d_c = 0.001``; one without validation rows borrows the mean accuracy of its shot group.

    A class that is right now gets next to no weight and may be forgotten within the epoch, so that
    weights swing from epoch to epoch; ``inertia`` keeps a share of the accuracies of before,
    ``A <- inertia A + (1 - inertia) A_now`` from ``A = 0``.

    Args:
        tau: exponent, or ``dynamic`` (``sigmoid(b)``, ``b = max A / (min A + 0.01)``, of the
            published code) or ``dynamic_paper`` (``2 sigmoid(b - 1)``).
        inertia: in ``[0, 1)``; 0 is the published form.
        class_counts: training counts; absent, :meth:`bind` brings them.

    Raises:
        ConfigError: there are no validation rows.

    Reference: Sinha et al., *Class-wise difficulty-balanced loss for solving class-imbalance*,
    ACCV 2020.
    """

    accuracy: Tensor

    def __init__(
        self,
        tau: float | str = "dynamic",
        inertia: float = 0.0,
        *,
        class_counts: Counts = None,
    ) -> None:
        super().__init__()
        if isinstance(tau, str) and tau not in DYNAMIC:
            raise UnknownNameError("exponent", tau, DYNAMIC)
        if not isinstance(tau, str) and (not is_finite(tau) or tau < 0):
            raise ConfigError(
                f"tau must be finite and not negative, not {tau}", "try tau=1.0 or 'dynamic'"
            )
        if not is_finite(inertia) or not 0 <= inertia < 1:
            raise ConfigError(
                f"inertia must lie in [0, 1), not {inertia}", "0.5 takes the swings off"
            )
        self.tau, self.inertia = tau, inertia
        self.finish(class_counts)

    def on_bind(self, stats: ClassStats) -> None:
        super().on_bind(stats)
        self.register_buffer("accuracy", torch.zeros_like(self.value))

    def compute(self, stats: ClassStats) -> Tensor:
        return stats.present.to(torch.float64)

    def observe(self, accuracy: Tensor | Sequence[float]) -> None:
        """Take ``(C,)`` class accuracies; NaN where a class has no validation rows."""
        stats = self.bound()
        a = torch.as_tensor(accuracy, dtype=torch.float64).detach().cpu().clone()
        if a.shape != (stats.num_classes,) or bool(a[stats.present].isnan().all()):
            raise DataError(
                f"accuracies of shape {tuple(a.shape)} do not fit {stats.num_classes} classes, or "
                "none is known",
                "give one accuracy for each class, NaN where it is not known",
            )
        now = borrowed(a, stats)
        kept = self.inertia * self.accuracy.cpu() + (1 - self.inertia) * now
        self.value.copy_(difficulty_weights(kept, self.tau, stats.present))
        self.accuracy.copy_(kept)

    def refresh(self, ctx: Context) -> None:
        """Measure on the validation rows."""
        if ctx.validation is None or ctx.collect is None:
            raise ConfigError(
                "difficulty weights follow validation accuracy and there are no validation rows",
                "cut some: --validation 0.1",
            )
        if int(ctx.progress.epoch) == 0:
            return
        target = ctx.validation.labels.cpu()
        right = ctx.collect(ctx.validation, "logits").argmax(1).cpu() == target
        rows = torch.bincount(target, minlength=ctx.num_classes)
        hits = torch.bincount(target[right], minlength=ctx.num_classes)
        self.observe(hits / rows)


def borrowed(accuracy: Tensor, stats: ClassStats) -> Tensor:
    """``(C,)`` accuracies, NaN filled with the mean of the shot group, or else of all classes."""
    known = ~accuracy.isnan() & stats.present
    out = torch.where(known, accuracy, accuracy[known].mean())
    for ids in stats.groups()[0].values():
        own = ids[known[ids]]
        if len(own):
            out[ids] = torch.where(known[ids], accuracy[ids], accuracy[own].mean())
    return out


class EffectiveArea(Weight):
    """``w_c ~ 1 / A_c``, of mean one: classes whose features are spread less weigh more.

    ``A_c`` sums over batches what the samples of class ``c`` are worth when they are correlated:
    ``1 / (a' R a)``, ``R`` their cosines after centring and ``a = 1 / m`` (see
    :func:`~longtail.functional.effective_area`); uncorrelated features give ``w ~ 1 / n``.

    Ones until ``after`` of the stage; then the engine measures at the start of every epoch, on all
    training rows in eval mode, not augmented, cut in batches in an order that the seed and the
    epoch decide. A loop of one's own calls :meth:`observe`.

    Args:
        after: fraction of the stage with plain weights.
        batch: rows of a batch, at most an eighth of the training rows (the centred samples of a
            class that fits into one batch cancel out).
        cap: a class is worth at most its number of samples; steadier, and close to ``1 / n``.
        class_counts: training counts; absent, :meth:`bind` brings them.

    Reference: Chen et al., *AREA: adaptive reweighting via effective area for long-tailed
    classification*, ICCV 2023.
    """

    def __init__(
        self,
        after: float = 0.8,
        batch: int = 64,
        *,
        cap: bool = False,
        class_counts: Counts = None,
    ) -> None:
        super().__init__()
        if not is_whole(batch) or batch < 2:
            raise ConfigError(
                f"a batch of {batch} shows no correlation", "batch=64 is the published value"
            )
        self.after, self.batch, self.cap = check_switch("after", after), batch, cap
        self.finish(class_counts)

    def compute(self, stats: ClassStats) -> Tensor:
        return stats.present.to(torch.float64)

    def observe(self, area: Tensor | Sequence[float]) -> None:
        """Take ``(C,)`` effective areas, positive for every class with rows; no area is asked of others."""
        stats = self.bound()
        there = stats.raw > 0
        a = torch.as_tensor(area, dtype=torch.float64).detach().cpu()
        good = a.shape == (stats.num_classes,)
        if not good or not bool((torch.isfinite(a) & (a > 0))[there].all()):
            raise DataError(
                f"effective areas must be {stats.num_classes} positive numbers, got {a.tolist()}",
                "every class needs training rows among the features",
            )
        weight = mean_one(1 / a.clamp_min(1e-300), there)
        self.value.copy_(torch.where(there, weight, stats.present.to(torch.float64)))

    def refresh(self, ctx: Context) -> None:
        """Measure on the features of all training rows."""
        epoch = int(ctx.progress.epoch)
        if epoch < math.floor(self.after * ctx.progress.epochs + 1e-9) or ctx.collect is None:
            return
        features, labels = ctx.collect(ctx.data, "features"), ctx.data.labels.cpu()
        order = torch.from_numpy(permutation(ctx.seed, "area", epoch, n=len(labels)))
        self.observe(self.areas(features[order], labels[order], ctx.num_classes))

    def areas(self, features: Tensor, labels: Tensor, classes: int) -> Tensor:
        """``(C,)`` effective areas of ``(N, D)`` features in batches as they come."""
        means = torch.zeros(classes, features.shape[1]).index_add_(0, labels, features)
        means /= torch.bincount(labels, minlength=classes).clamp_min(1)[:, None]
        size = min(self.batch, max(2, len(labels) // 8))
        step = max(1, _CHUNK // size) * size
        parts = [
            effective_area(h, y, torch.arange(len(y)) // size, means, cap=self.cap)
            for h, y in zip(features.split(step), labels.split(step), strict=True)
        ]
        return torch.stack(parts).sum(0)
