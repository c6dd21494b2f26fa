"""What every loss shares: shapes, precision, reduction, class and sample weights, soft targets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Self

import torch
from torch import Tensor

from longtail.checks import is_finite, is_whole
from longtail.errors import ConfigError, DataError, UnknownNameError
from longtail.functional.noise import spread
from longtail.functional.precision import kept_wide, no_autocast, widen
from longtail.losses.cosines import check_cosines
from longtail.losses.inputs import as_rows, spread_weights, weight_vector
from longtail.losses.weights import Weight
from longtail.types import ClassStats, Context, Part

__all__ = ["REDUCTIONS", "Loss"]

REDUCTIONS = ("mean", "weighted_mean", "sum", "none")
Counts = Sequence[float] | Tensor | ClassStats | None
WeightLike = Part | Tensor | Sequence[float] | None
Pair = tuple[Tensor, Tensor | None]


class Loss(Part):
    """``loss(logits, target)`` like any loss of PyTorch; what differs is :meth:`per_sample`.

    The loss of a sample with label ``y`` is ``v w_y l(z, y)``, of a soft target ``q`` it is
    ``v sum_c q_c w_c l(z, c)``, with class weight ``w`` and sample weight ``v``. Logits of half
    precision are widened to float32 first, under autocast too.

    Args:
        weight: class weights: a part such as ``EffectiveNumber()``, or ``(C,)`` numbers.
        reduction: ``mean`` divides by the number of samples that are not ignored,
            ``weighted_mean`` by the sum of their weights (what ``torch`` calls ``mean`` when it
            is given class weights), ``sum`` and ``none`` as in ``torch``.
        ignore_index: label of samples that do not count.
        class_counts: training counts, or ``ClassStats``; absent, :meth:`bind` brings them.

    Attributes:
        scale: the cosine scale the loss expects in its logits, or ``None``.
    """

    scale: float | None = None
    #: True where a loss with a scale reads scaled cosines.
    cosines = True
    #: True where :meth:`per_sample` calls :meth:`noise`.
    noisy = False
    #: True where calls in training mode :meth:`tell` what :meth:`fold` adds to buffers.
    stateful = False

    def __init__(
        self,
        *,
        weight: WeightLike = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        class_counts: Counts = None,
    ) -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise UnknownNameError("reduction", reduction, REDUCTIONS)
        if not is_whole(ignore_index):
            raise ConfigError(
                f"ignore_index must be a whole number, not {ignore_index!r}", "-100 is usual"
            )
        self.reduction = reduction
        self.ignore_index = ignore_index
        self._masked = False
        self._features: Tensor | None = None
        self._keys: Tensor | None = None
        self._counted: tuple[Tensor | None, Tensor | None] = None, None
        self._calls = 0
        self._told: dict[str, Tensor] = {}
        self._deferred = False
        if weight is None or isinstance(weight, Part):
            self.weight: Any = weight
        else:
            self.register_buffer("weight", weight_vector(weight))
        self.attach(self.progress)
        self.finish(class_counts)

    # -- what a loss is ------------------------------------------------------------------------

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of each row, without weights.

        Args:
            logits: ``(B, C)`` float32 or wider.
            target: ``(B,)`` class ids.
        """
        raise NotImplementedError

    def per_class(self, logits: Tensor) -> Tensor:
        """``(B, C)``: the loss each row would have were its label ``c``."""
        columns = [
            self.per_sample(logits, torch.full_like(logits[:, 0], c, dtype=torch.int64))
            for c in range(logits.shape[1])
        ]
        return torch.stack(columns, dim=1)

    def prior_offset(self) -> Tensor | None:
        """``(C,)`` constants ``a_c`` that the loss adds to the logits, for the effective prior.

        ``None``: the loss cannot be written as cross-entropy of ``z + a``.
        """
        return None

    def class_weight(self) -> Tensor | None:
        """``(C,)`` class weights at this moment, or ``None``."""
        weight = self.weight() if isinstance(self.weight, Part) else self.weight
        return weight if weight is None or isinstance(weight, Tensor) else torch.as_tensor(weight)

    # -- what a loss may use -------------------------------------------------------------------

    def features(self) -> Tensor:
        """``(B, D)`` of the rows at hand, inside :meth:`per_sample` and :meth:`per_class`."""
        if self._features is None:
            raise DataError(
                f"{type(self).__name__} reads the input of the head and was not given it",
                "call loss(logits, target, features=h) with h of shape (N, D)",
            )
        return self._features

    def noise(self, logits: Tensor) -> Tensor:
        """``(B, C)`` uniform numbers in ``(0, 1)``: the same for the same row keys."""
        keys = self._keys
        if keys is None:  # a loop of one's own: a stream of this loss, no global generator
            keys = spread(torch.full_like(logits[:1, 0], self._calls % 4096 / 4096), len(logits))[0]
        return spread(keys, logits.shape[1]).to(logits.dtype)

    def key(self, rows: Tensor | None) -> None:
        """Key the noise of the calls that follow: ``(B,)`` uniform numbers, one a row."""
        if rows is not self._keys:  # setting an attribute of a module costs more than asking
            self._keys = rows

    def mass(self, logits: Tensor) -> Tensor:
        """``(B,)``: how much each row at hand counts in what is told: its sample weight (the
        share of a mixed target), nothing where it is ignored."""
        labels, weights = self._counted
        out = logits.new_ones(len(logits)) if weights is None else weights
        return out if labels is None else out * (labels != self.ignore_index)

    def tell(self, **found: Tensor) -> None:
        """Add up what a batch shows, for :meth:`fold`; nothing in eval mode."""
        if self.training:
            for name, value in found.items():
                value = value.detach()
                told = self._told.get(name)
                self._told[name] = value.clone() if told is None else told + value

    def fold(self, found: dict[str, Tensor]) -> None:
        """Take what was told since the last step, summed over micro-batches and ranks, into
        buffers, in place."""

    def refresh(self, ctx: Context) -> None:
        """Once an epoch, before its first step: class weights measure what they follow."""
        for inner in self.modules():
            if isinstance(inner, Weight):
                inner.refresh(ctx)

    def defer(self) -> Self:
        """From now on state changes by :meth:`commit` only (the engine's way), not by each call."""
        self._deferred = True
        return self

    def commit(self, ranks: Any = None) -> None:
        """Fold what was told since the last step, after summing it over ``ranks``."""
        if self._told:
            found = {k: self._told[k] for k in sorted(self._told)}
            if ranks is not None:
                ranks.sum_(list(found.values()))
            self.discard()
            self.fold(found)

    def discard(self) -> None:
        """Forget what was told since the last step."""
        self._told = {}

    # -- how it is called ----------------------------------------------------------------------

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        *,
        features: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """The reduced loss.

        Args:
            logits: ``(N, C)`` or ``(N, C, d1, ...)``.
            target: class ids ``(N,)`` or ``(N, d1, ...)``, or probabilities shaped like the
                logits.
            features: ``(N, D)`` (or ``(N, D, d1, ...)``) input of the head, where it is read.
            sample_weight: ``(N,)``, or the shape of the class ids.

        Returns:
            A 0-d tensor; with ``reduction="none"`` the shape of the class ids. As in ``torch``
            the mean over no sample at all is NaN.
        """
        if self.reduction in ("mean", "weighted_mean"):
            num, den = self.sums(logits, target, features=features, sample_weight=sample_weight)
            out = num / den
        else:
            rows, _, shape = self._rows(logits, target, sample_weight, features)
            out = rows.sum() if self.reduction == "sum" else rows.reshape(shape)
        if self._calls == 0 and self.cosines:
            check_cosines(type(self).__name__, logits, self.scale)
        self._calls += 1
        if not self._deferred:
            self.commit()
        return out

    def sums(
        self,
        logits: Tensor,
        target: Tensor,
        *,
        features: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Numerator and denominator of the mean, both 0-d, to be added over micro-batches and
        ranks before they are divided. Under ``sum`` the denominator is one, under ``none``
        both are those of ``mean``.
        """
        rows, weights, _ = self._rows(logits, target, sample_weight, features)
        numerator = rows.sum()
        if self.reduction == "sum":
            return numerator, torch.ones_like(numerator)
        return numerator, weights.sum()

    def mixed_sums(
        self,
        logits: Tensor,
        pairs: Sequence[Pair],
        *,
        features: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """:meth:`sums` of mixed targets ``sum_k lambda_k l(z, y_k)``.

        Under ``mean`` a mixed row counts once, whatever the number of pairs.

        Args:
            logits: ``(B, C)``.
            pairs: ``(target (B,), lambda (B,) or None)``; the lambdas of a row add up to one.
            features: ``(B, D)``.
            sample_weight: ``(B,)``.
        """
        parts = []
        for target, share in pairs:
            both = share if sample_weight is None or share is None else share * sample_weight
            row_weight = sample_weight if share is None else both
            parts.append(self.sums(logits, target, features=features, sample_weight=row_weight))
        if len(parts) == 1:
            return parts[0]
        numerator = torch.stack([p[0] for p in parts]).sum()
        if self.reduction == "weighted_mean":
            return numerator, torch.stack([p[1] for p in parts]).sum()
        return numerator, parts[0][1]

    def bind(self, stats: ClassStats) -> Self:
        self._masked = not bool(stats.present.all())
        weight = self._buffers.get("weight")
        if weight is not None and len(weight) != stats.num_classes:
            raise DataError(
                f"{len(weight)} class weights for {stats.num_classes} classes",
                "give one weight for each class",
            )
        return super().bind(stats)

    def keep(self, name: str, value: Tensor) -> None:
        """Register a float64 buffer, where the one before it was."""
        old = self._buffers.get(name)
        self.register_buffer(name, value if old is None else value.to(old.device))

    # -- the inside ----------------------------------------------------------------------------

    def _rows(
        self,
        logits: Tensor,
        target: Tensor,
        sample_weight: Tensor | None,
        features: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, torch.Size]:
        """Weighted losses ``(B,)``, what each row adds to the denominator ``(B,)``, and the
        shape of the class ids."""
        soft = self.check(logits, target)
        self._features = None if features is None else as_rows(widen(features))
        try:
            with no_autocast(logits.device.type):
                return self._wide_rows(logits, target, sample_weight, soft)
        finally:
            self._features = None
            self._counted = None, None

    def _wide_rows(
        self, logits: Tensor, target: Tensor, sample_weight: Tensor | None, soft: bool
    ) -> tuple[Tensor, Tensor, torch.Size]:
        shape = logits.shape[:1] + logits.shape[2:]
        z = widen(logits)
        if z.ndim > 2:
            z = as_rows(z)
            target = target.movedim(1, -1).reshape(z.shape) if soft else target.reshape(-1)
        weight = self.class_weight()
        weight = None if weight is None else weight.to(z.dtype)
        v = None if sample_weight is None else spread_weights(sample_weight, shape).to(z.dtype)
        self._counted = None if soft else target, v
        try:
            rows, base = (self._soft if soft else self._hard)(z, target, weight)
        except (IndexError, RuntimeError) as error:
            self._explain(error, z.shape[1])
        if v is not None:
            rows = rows * v
            base = base * v if self.reduction == "weighted_mean" else base
        return rows, base, shape

    def _hard(self, z: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        valid = target != self.ignore_index
        label = torch.where(valid, target, 0).long()
        rows = torch.where(valid, self.per_sample(z, label), 0.0)
        base = valid.to(z.dtype)
        if weight is None:
            return rows, base
        own = weight[label]
        return rows * own, base * own if self.reduction == "weighted_mean" else base

    def _soft(self, z: Tensor, q: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        q = q.to(z.dtype)
        mass = q if weight is None else q * weight
        rows = torch.where(mass == 0, 0.0, mass * self.per_class(z)).sum(1)
        if weight is None or self.reduction != "weighted_mean":
            return rows, torch.ones_like(rows)
        return rows, mass.sum(1)

    def check(self, logits: Tensor, target: Tensor) -> bool:
        """Refuse shapes and kinds that do not fit; true for a soft target."""
        if not logits.is_floating_point() or logits.ndim < 2 or logits.shape[1] < 2:
            raise DataError(
                f"logits must be floating-point (N, C) or (N, C, d1, ...) with C >= 2, "
                f"not {logits.dtype} {tuple(logits.shape)}",
                "give one row of class scores for each sample",
            )
        if self.stats is not None and logits.shape[1] != self.stats.num_classes:
            raise DataError(
                f"logits have {logits.shape[1]} classes, the class counts {self.stats.num_classes}",
                "give one logit and one training count for each class",
            )
        weight = self._buffers.get("weight")
        if weight is not None and len(weight) != logits.shape[1]:
            raise DataError(
                f"logits have {logits.shape[1]} classes, there are {len(weight)} class weights",
                "give one weight for each class",
            )
        if target.is_floating_point():
            if target.shape == logits.shape:
                return True
        elif target.dtype != torch.bool and target.shape == logits.shape[:1] + logits.shape[2:]:
            return False
        raise DataError(
            f"a target of {target.dtype} {tuple(target.shape)} does not fit logits "
            f"{tuple(logits.shape)}",
            "give integer class ids (N,) or (N, d1, ...), or float probabilities shaped like "
            "the logits",
        )

    def _explain(self, error: Exception, num_classes: int) -> NoReturn:
        if "out of bounds" in str(error) or "out of range" in str(error):
            raise DataError(
                f"a label lies outside 0..{num_classes - 1} and is not ignore_index "
                f"({self.ignore_index})",
                "labels are class ids; mark samples that do not count with ignore_index",
            ) from error
        raise error

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move, but keep priors, margins and weights at float32 or wider (``model.half()``)."""
        return super()._apply(kept_wide(fn), recurse)  # type: ignore[no-untyped-call, no-any-return]


def check_number(name: str, value: float, *, low: float = -math.inf, above: bool = False) -> float:
    """A finite hyper-parameter that is at least (or, with ``above``, over) ``low``."""
    if not is_finite(value) or value < low or (above and value == low):
        bound = f" and {'greater than' if above else 'at least'} {low:g}" if low > -math.inf else ""
        raise ConfigError(f"{name} must be finite{bound}, not {value!r}", f"change {name}")
    return value
