"""Batch transforms: pure functions of a batch and the random numbers it is given."""

from __future__ import annotations

from torch import Tensor

from longtail.errors import DataError
from longtail.types import Batch, Part

__all__ = ["MixAugment", "ViewAugment", "check_draws", "check_images"]


class ViewAugment(Part):
    """Changes one view, row by row; a row depends on its own random numbers only.

    Attributes:
        draws: uniform random numbers a row.
    """

    draws: int = 0

    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        """``(B, ...)`` and ``(B, draws)`` uniform in [0, 1) to a new ``(B, ...)``."""
        raise NotImplementedError


class MixAugment(Part):
    """Mixes rows of a batch and their labels.

    Attributes:
        draws: uniform random numbers a row.
        step_draws: uniform random numbers a step, in host memory.
    """

    draws: int = 0
    step_draws: int = 0

    def forward(self, batch: Batch, u: Tensor, s: Tensor) -> Batch:
        """A new batch with ``views`` and ``mixed`` replaced; the given one stays as it is.

        Args:
            batch: not mixed yet.
            u: ``(B, draws)`` uniform in [0, 1).
            s: ``(step_draws,)`` float64 uniform in [0, 1).
        """
        raise NotImplementedError


def check_draws(name: str, rows: int, draws: int, u: Tensor) -> None:
    """Refuse a table of random numbers of the wrong shape."""
    if tuple(u.shape) != (rows, draws):
        raise DataError(
            f"{name} got random numbers {tuple(u.shape)} for {rows} rows",
            f"give a uniform table ({rows}, {draws})",
        )


def check_images(name: str, x: Tensor) -> None:
    """Refuse what is no batch of float images."""
    if x.ndim != 4 or not x.is_floating_point():
        raise DataError(
            f"{name} works on float images (B, c, h, w), not on {x.dtype} {tuple(x.shape)}",
            "leave this augmentation out for tables and texts",
        )
