"""Updates that keep weights inside a set."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from longtail.checks import is_finite
from longtail.engine.update import Plain
from longtail.errors import ConfigError, UnknownNameError
from longtail.functional.calibration import max_norm, norm_threshold

__all__ = ["MaxNorm"]


class MaxNorm(Plain):
    """A plain step, then ``w_c <- w_c min(1, t / |w_c|)`` for the rows of one weight.

    The one threshold ``t = min_c |w_c| + share (max_c |w_c| - min_c |w_c|)`` is measured when the
    stage begins and kept in the checkpoints. The bias is free.

    Args:
        share: where between the shortest and the longest row the threshold lies, in ``[0, 1]``.
        path: which parameter is held.

    Raises:
        ConfigError: a share outside ``[0, 1]``; a parameter without rows; rows that are all zero.

    Reference: Alshammari et al., *Long-tailed recognition via weight balancing*, CVPR 2022.
    """

    def __init__(self, share: float = 0.1, *, path: str = "head.weight") -> None:
        if not is_finite(share) or not 0 <= share <= 1:
            raise ConfigError(
                f"share must lie in [0, 1], not {share}", "0.1 is the published value"
            )
        self.share, self.path = share, path
        self.threshold = torch.zeros(())
        self.weight: Tensor | None = None

    def equip(self, *, model: nn.Module | None = None, **given: Any) -> MaxNorm:
        """Find the weight and measure its rows."""
        super().equip(model=model, **given)
        named = {} if model is None else dict(model.named_parameters())
        if self.path not in named:
            raise UnknownNameError("parameter to hold called", self.path, list(named))
        weight = named[self.path]
        if weight.ndim < 2:
            raise ConfigError(
                f"{self.path} has shape {tuple(weight.shape)} and so no rows to measure",
                "name a weight of one row a class, such as head.weight",
            )
        self.threshold = norm_threshold(weight, self.share)
        if float(self.threshold) == 0:
            raise ConfigError(
                f"the shortest row of {self.path} is zero, and with share={self.share:g} so would "
                "all be held to zero",
                "train the classifier first, or give a larger share",
            )
        self.weight = weight
        return self

    @torch.no_grad()
    def constrain(self) -> None:
        """Cut the rows that are too long."""
        if self.weight is not None:
            self.weight.copy_(max_norm(self.weight, self.threshold))

    def state_dict(self) -> dict[str, Tensor]:
        """The threshold."""
        return {"threshold": self.threshold}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The threshold of the stage's beginning."""
        self.threshold = state["threshold"].to(self.threshold)
