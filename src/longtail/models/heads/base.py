"""What every classifier shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from longtail.checks import is_whole
from longtail.errors import ConfigError
from longtail.types import ClassStats

__all__ = ["Head"]


class Head(nn.Module):
    """Base of classifiers: ``(B, D)`` to ``(B, C)``.

    Attributes:
        weight: ``(C, D)``: a parameter, or a buffer where the classifier is fixed.
        bias: ``(C,)`` or ``None``.
        scale: factor of a cosine classifier, or ``None`` where logits are no scaled cosines.
        column_names: what :meth:`columns` says of a row beside its class.
        partners: what a recipe must have beside the head, by field: one of these parts each.
    """

    weight: Tensor
    bias: nn.Parameter | None
    scale: float | None = None
    column_names: tuple[str, ...] = ()
    #: names of own parameters that are trained without weight decay
    undecayed: tuple[str, ...] = ()
    partners: tuple[dict[str, str], ...] = ()
    #: True where the head has :meth:`watch` and :meth:`fold`.
    moving = False

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__()
        if not is_whole(in_features, num_classes) or in_features < 1 or num_classes < 2:
            raise ConfigError(
                f"a head needs at least 1 feature and 2 classes, not {in_features} and {num_classes}",
                "check the labels",
            )
        self.in_features, self.num_classes = in_features, num_classes
        self.weight = nn.Parameter(torch.empty(num_classes, in_features))
        self.bias = None

    def reset_parameters(self) -> None:
        """Draw fresh weights from torch's generator."""
        raise NotImplementedError

    def affine(self) -> tuple[Tensor, Tensor | None] | None:
        """``(W (C, D), b (C,) or None)`` where the logits are ``W h + b``, else ``None``."""
        return None

    def bind(self, stats: ClassStats) -> None:
        """Take class statistics, for heads that need them; what they make is saved state."""
        raise ConfigError(f"{type(self).__name__} reads no class counts", "leave bind_head out")

    def watch(
        self, features: Tensor, targets: Sequence[tuple[Tensor, Tensor | None]]
    ) -> dict[str, Tensor]:
        """What a batch shows, to be added up over micro-batches and ranks for :meth:`fold`.

        Args:
            features: ``(B, D)`` without gradient.
            targets: ``(target (B,), weight (B,) or None)``: the labels, several where mixed.
        """
        raise NotImplementedError

    def fold(self, found: dict[str, Tensor], pace: float = 1.0) -> None:
        """Move the head's statistics, in place, by what a whole step has shown.

        Args:
            found: the sums of :meth:`watch`.
            pace: share of the full step to take, at most 1.
        """
        raise NotImplementedError

    def choices(self) -> Sequence[Any]:
        """Settings that cost no training and may be chosen on validation data; see :meth:`use`."""
        return ()

    def choice(self) -> Any:
        """The one of :meth:`choices` in use; ``None`` where there are none."""
        return None

    def use(self, choice: Any) -> None:
        """Take one of :meth:`choices`; it is part of the saved state."""
        raise ConfigError(
            f"{type(self).__name__} has nothing to choose on validation data",
            "leave choose_head out",
        )

    def columns(self, features: Tensor, predicted: Tensor) -> dict[str, list[str]]:
        """One entry a row for every name of ``column_names``.

        Args:
            features: ``(B, D)``.
            predicted: ``(B,)`` class ids.
        """
        return {}

    def measures(self, features: Tensor, predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
        """``(B,)`` numbers by name, whose means are reported beside the metrics."""
        return {}

    def refuse_below(self, threshold: float) -> None:
        """Refuse where the confidence is lower; only heads that can stop short of a class do."""
        raise ConfigError(
            f"{type(self).__name__} decides on a class always: there is no threshold to set",
            "leave the threshold out, or train a recipe with a taxonomy",
        )

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.num_classes}, scale={self.scale}"


def wide(x: Tensor) -> Tensor:
    """At least float32."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
