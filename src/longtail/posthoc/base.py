"""What every adjuster shares: fitted on validation outputs, applied to any outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from longtail.errors import ConfigError
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
    adjuster is all of it. :meth:`notes` are sentences for the user, such as a default taken because
    there was no validation data.
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
        """Load a saved state dict; an empty one leaves the adjuster as it is."""
        if state:
            self.load_state_dict(dict(state))
        return self

    def fit(self, data: FitData) -> Self:
        """Learn from validation outputs; returns ``self``.

        Args:
            data: validation outputs and labels where there are any, and training statistics.
        """
        self.bind(data.stats)
        if not data.allow_double and (data.prior_unknown or data.prior is not None):
            self.check_prior(data.stats, None if data.prior_unknown else data.prior)
        self.on_fit(data)
        self.fitted.fill_(True)
        return self

    def on_fit(self, data: FitData) -> None:
        """Write the buffers; the part of :meth:`fit` that a subclass fills."""

    def transform(self, outputs: Outputs) -> Tensor:
        """Adjusted logits ``(B, C)``."""
        raise NotImplementedError

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
                f"{type(self).__name__} corrects the prior that the model answers to, and no "
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


def widened(logits: Tensor) -> Tensor:
    """Half-precision logits as float32; others as they are."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def refuse_corrected(name: str, stats: ClassStats, prior: Tensor | None) -> None:
    """Refuse a model that answers to another prior than that of its training data."""
    if prior is None:
        return
    natural, own = stats.prior, prior.detach().cpu().double()
    own = own / own.sum()
    if 0.5 * float((natural - own).abs().sum()) > 0.01:
        raise ConfigError(
            f"{name} corrects the training prior, and this model was already trained towards "
            "another one",
            "use it after plain cross-entropy, give target_prior for a shift from the model's own "
            "prior, or set allow_double=true",
        )
