"""One loss first, another from a fraction of the stage on."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from longtail.errors import ConfigError
from longtail.losses.base import Counts, Loss, WeightLike
from longtail.losses.remargin import reached
from longtail.losses.softmax import CrossEntropy
from longtail.schedules import check_switch

__all__ = ["DeferredLoss"]


class DeferredLoss(Loss):
    """``first`` until a fraction of the stage is done, then ``inner``, on the same logits.

    With a margin loss inside this is a deferred margin. The switch falls on the first step of
    epoch ``int(after * epochs)`` (0-based), whatever the number of epochs.

    Args:
        inner: the loss that takes over, without state and noise.
        after: fraction of the stage in ``[0, 1)``.
        first: the loss before; absent, cross-entropy.
        weight: class weights, times those of the loss whose time it is: a part, or ``(C,)``
            numbers.
        reduction: ``mean``, ``weighted_mean``, ``sum`` or ``none``, of both; see :class:`Loss`.
        ignore_index: label of samples that do not count.
        class_counts: training counts; absent, :meth:`bind` brings them.

    Reference: after Cao et al., NeurIPS 2019 (a deferred schedule).
    """

    def __init__(
        self,
        inner: Loss,
        after: float = 0.8,
        first: Loss | None = None,
        *,
        weight: WeightLike = None,
        reduction: str = "mean",
        ignore_index: int = -100,
        class_counts: Counts = None,
    ) -> None:
        super().__init__(weight=weight, reduction=reduction, ignore_index=ignore_index)
        before = CrossEntropy() if first is None else first
        self.inner, self.after, self.first = inner, check_switch("after", after), first
        for loss in (before, inner):
            _check(loss, self)
            loss.reduction, loss.ignore_index = reduction, ignore_index
        if None not in (before.scale, inner.scale) and before.scale != inner.scale:
            raise ConfigError(
                f"the losses of deferred expect logits of scales {before.scale} and {inner.scale}",
                "give both the scale of the head",
            )
        self._before = before
        self.scale = before.scale if inner.scale is None else inner.scale
        self.cosines = before.cosines and inner.cosines
        self.needs_stats = inner.needs_stats or before.needs_stats
        self.attach(self.progress)
        self.finish(class_counts)

    def _live(self) -> Loss:
        """The loss whose time it is, with the features at hand."""
        live = self.inner if bool(reached(self.progress, self.after)) else self._before
        live._features = self._features
        return live

    def per_sample(self, logits: Tensor, target: Tensor) -> Tensor:
        return self._live().per_sample(logits, target)

    def per_class(self, logits: Tensor) -> Tensor:
        return self._live().per_class(logits)

    def _hard(self, z: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._live()._hard(z, target, weight)

    def _soft(self, z: Tensor, q: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._live()._soft(z, q, weight)

    def prior_offset(self) -> Tensor | None:
        return self._live().prior_offset()

    def class_weight(self) -> Tensor | None:
        own = super().class_weight()
        live = self._live().class_weight()
        return own if live is None else live if own is None else own * live


def _check(loss: Any, whole: Loss) -> None:
    """Refuse what cannot be switched on late."""
    if not isinstance(loss, Loss):
        raise ConfigError(
            f"deferred needs a loss to defer, not {loss!r}",
            "for example deferred(ldam(), after=0.8)",
        )
    if loss.stateful or loss.noisy:
        raise ConfigError(
            f"deferred cannot switch {type(loss).__name__}, which follows training from its first "
            "step or draws noise",
            "use a loss without state, such as ldam, vs or focal",
        )
    if loss.reduction not in ("mean", whole.reduction):
        raise ConfigError(
            f"a loss of deferred has the reduction {loss.reduction!r} of its own",
            f"give it to the whole: deferred(..., reduction={loss.reduction!r})",
        )
