"""What every adjuster shares: fitted on validation outputs, applied to any outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from longtail.errors import CheckpointError, ConfigError, DataError
from longtail.functional.precision import kept_wide, no_autocast, widen
from longtail.posthoc.checks import check_labels, check_logits, check_rows, check_strength, vector
from longtail.registry import name_of
from longtail.types import ClassStats, Outputs, Part

__all__ = ["Adjuster", "FitData"]


@dataclass(frozen=True)
class FitData:
    """What an adjuster may see when it is fitted.

    Attributes:
        outputs: of the validation set, concatenated; ``None`` without validation data.
        target: ``(M,)`` validation labels.
        stats: statistics of the training data actually used.
        head_weight: ``(C, D)`` of a linear head, its scales multiplied in, else ``None``.
        head_bias: ``(C,)`` or ``None``.
        prior: ``(C,)`` prior to which the softmax of the outputs answers; ``None``: not given, it
            is taken to be the training prior.
        prior_unknown: no formula gives that prior; an adjuster that corrects it refuses.
        allow_double: correct a prior that is unknown, or that was corrected before.
    """

    outputs: Outputs | None
    target: Tensor | None
    stats: ClassStats
    head_weight: Tensor | None = None
    head_bias: Tensor | None = None
    prior: Tensor | None = None
    prior_unknown: bool = False
    allow_double: bool = False

    @property
    def labelled(self) -> tuple[Outputs, Tensor] | None:
        """Validation outputs and labels, or ``None`` where there are none."""
        if self.outputs is None or self.target is None or not len(self.target):
            return None
        return self.outputs, self.target


class Adjuster(Part):
    """Turns the outputs of a trained model into adjusted logits.

    ``fit`` writes what it learned into buffers, scalars too, so that the state dict of an
    adjuster is all of it; a buffer that is no scalar has a row for each class. :meth:`notes` are
    sentences for the user, such as a default taken because there was no validation data.

    A subclass fills :meth:`on_fit` and :meth:`on_transform`: what they get has been checked.
    """

    def __init__(self) -> None:
        super().__init__()
        self._notes: tuple[str, ...] = ()
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    fitted: Tensor

    def notes(self) -> tuple[str, ...]:
        """Sentences that :meth:`fit` left for the user."""
        return self._notes

    def restore(self, state: Mapping[str, Tensor]) -> Self:
        """Load a saved state dict; an empty one leaves the adjuster as it is.

        Raises:
            CheckpointError: the state of something else.
        """
        if state:
            try:
                self.load_state_dict(dict(state))
            except (AttributeError, RuntimeError, TypeError) as error:
                raise CheckpointError(
                    f"the state with {', '.join(map(str, state))} is not that of a "
                    f"{type(self).__name__}",
                    "load it into the adjuster that it was saved from",
                ) from error
        return self

    def fit(self, data: FitData) -> Self:
        """Learn from validation outputs; returns ``self``.

        Args:
            data: validation outputs and labels where there are any, and training statistics.

        Raises:
            DataError: logits of another number of classes, or that are not finite; labels that
                are no class ids, or of another number.
        """
        data, left_out = _checked(data)
        self.bind(data.stats)
        if not data.allow_double and (data.prior_unknown or data.prior is not None):
            self.check_prior(data.stats, None if data.prior_unknown else data.prior)
        self._notes = ()
        self.on_fit(data)
        if left_out:
            line = f"{left_out} validation rows of classes without training samples are left out"
            self._notes = (*self._notes, line)
        self.fitted.fill_(True)
        return self

    def on_fit(self, data: FitData) -> None:
        """Write the buffers; the part of :meth:`fit` that a subclass fills."""

    def transform(self, outputs: Outputs) -> Tensor:
        """Adjusted logits ``(B, C)``, float32 or wider, under autocast too.

        Raises:
            ConfigError: the adjuster is not fitted.
            DataError: no outputs, or logits of another number of classes than it was fitted for.
        """
        self.ready()
        if not isinstance(outputs, Outputs):
            raise DataError(
                f"{type(self).__name__} adjusts the outputs of a network, not a "
                f"{type(outputs).__name__}",
                "give Outputs(logits, features)",
            )
        logits = outputs.logits
        check_logits(logits, self.num_classes())
        with no_autocast(logits.device.type):
            return self.on_transform(outputs.with_logits(widen(logits)))

    def on_transform(self, outputs: Outputs) -> Tensor:
        """Adjusted logits ``(B, C)`` of logits that are float32 or wider; a subclass fills it."""
        raise NotImplementedError

    def num_classes(self) -> int | None:
        """``C`` of what was learned; ``None`` where nothing says it."""
        sizes = {len(b) for b in self.buffers(recurse=False) if b.ndim}
        if len(sizes) == 1:
            return sizes.pop()
        return None if self.stats is None else self.stats.num_classes

    def forward(self, outputs: Outputs) -> Tensor:
        """The same as :meth:`transform`."""
        return self.transform(outputs)

    #: True where no formula says how the adjuster moves the prior.
    untold = False
    #: True where the adjuster corrects a prior that it must know.
    corrects_prior = False

    def check_prior(self, stats: ClassStats, prior: Tensor | None) -> None:
        """Refuse a model whose prior the adjuster would correct wrongly.

        Args:
            stats: of the training data.
            prior: ``(C,)`` what the model answers to; ``None``: no formula gives it.
        """
        if self.corrects_prior and prior is None:
            raise ConfigError(
                f"{name_of('adjusters', self)} corrects the prior that the model answers to, and no "
                "formula gives that of this model",
                "use it after plain cross-entropy, or set allow_double=true to take the training "
                "prior",
            )

    def effective_prior(self, prior: Tensor) -> Tensor | None:
        """``(C,)`` prior that the adjusted logits answer to, from that of the raw ones.

        ``None`` where it cannot be said.
        """
        return prior

    def describe(self) -> dict[str, Any]:
        """What was learned, as plain values for ``metrics.json``."""
        return {"adjuster": type(self).__name__, "notes": list(self.notes())}

    def ready(self) -> None:
        """Refuse to work before :meth:`fit` or a loaded state."""
        if not bool(self.fitted):
            raise ConfigError(
                f"{type(self).__name__} is not fitted",
                "call fit(FitData(...)) first, or load its state",
            )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Take buffers of any shape: their shape is part of what was learned."""
        for name, buffer in self._buffers.items():
            given = state_dict.get(prefix + name)
            if given is not None and (buffer is None or buffer.shape != given.shape):
                self._buffers[name] = torch.empty_like(given)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move, but keep offsets and strengths as wide as they are (``model.half()``)."""
        return super()._apply(kept_wide(fn), recurse)  # type: ignore[no-untyped-call, no-any-return]


class Tuned(Adjuster):
    """An adjuster of one strength: given, or chosen on validation rows (1 without any).

    Attributes:
        strength: 0-d, what is in use.
        chosen: 0-d bool, whether it was chosen.
    """

    #: what the strength is called
    option = "tau"
    strength: Tensor
    chosen: Tensor

    def __init__(self, given: float | None, advice: str) -> None:
        super().__init__()
        if given is not None:
            check_strength(self.option, given, advice)
        start = torch.tensor(1.0 if given is None else given, dtype=torch.float64)
        self.register_buffer("strength", start)
        self.register_buffer("chosen", torch.zeros((), dtype=torch.bool))

    def unchosen(self) -> None:
        """Take 1, and say so."""
        self.strength.fill_(1.0)
        self._notes = (f"no validation data: {self.option} is 1.0, not chosen",)

    def describe(self) -> dict[str, Any]:
        """The strength in use, and whether it was chosen."""
        return {
            **super().describe(),
            self.option: float(self.strength),
            "chosen_on_validation": bool(self.chosen),
        }


def _checked(data: FitData) -> tuple[FitData, int]:
    """The data without validation rows of masked classes, and how many these were."""
    labelled = data.labelled
    if labelled is None:
        return data, 0
    outputs, target = labelled
    present = data.stats.present
    check_logits(outputs.logits, len(present))
    check_labels(target, len(outputs.logits), data.stats.num_classes)
    check_rows(outputs.logits, "validation", live=present)
    target = target.long()
    kept = present[target.cpu()]
    if bool(kept.all()):
        return replace(data, target=target), 0
    rows = kept.to(target.device)
    here = kept.to(outputs.logits.device)
    experts = outputs.expert_logits
    outputs = Outputs(
        outputs.logits[here], outputs.features[kept.to(outputs.features.device)],
        None if experts is None else experts[:, here],
    )  # fmt: skip
    return replace(data, outputs=outputs, target=target[rows]), int((~kept).sum())


def refuse_corrected(name: str, stats: ClassStats, prior: Tensor | None) -> None:
    """Refuse a model that answers to another prior than that of its training data."""
    if prior is None:
        return
    natural, own = stats.prior, vector("the prior", prior, stats.num_classes)
    own = own / own.sum()
    if 0.5 * float((natural - own).abs().sum()) > 0.01:
        raise ConfigError(
            f"{name} corrects the training prior, and this model was already trained towards "
            "another one",
            "use it after plain cross-entropy, give target_prior for a shift from the model's own "
            "prior, or set allow_double=true",
        )
