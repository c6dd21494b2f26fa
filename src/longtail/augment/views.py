"""View transforms that move pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.augment.base import ViewAugment, check_draws, check_images
from longtail.checks import is_finite
from longtail.errors import ConfigError

__all__ = ["Chain", "CropFlip", "Flip", "Identity", "Shift", "mirrored", "moved"]


def moved(x: Tensor, pixels: int, u: Tensor) -> Tensor:
    """Each row shifted by whole pixels drawn from ``{-p..p}^2``; zeros move in.

    Args:
        x: ``(B, c, h, w)``.
        pixels: ``p``.
        u: ``(B, 2)`` uniform: vertical, horizontal.
    """
    if pixels == 0:
        return x.clone()
    b, _, h, w = x.shape
    padded = torch.nn.functional.pad(x, (pixels, pixels, pixels, pixels))
    windows = padded.unfold(2, h, 1).unfold(3, w, 1)  # (B, c, 2p+1, 2p+1, h, w), a view
    places = 2 * pixels + 1
    at = (u * places).long().clamp(0, places - 1)
    return windows[torch.arange(b, device=x.device), :, at[:, 0], at[:, 1]]


def mirrored(x: Tensor, u: Tensor) -> Tensor:
    """Rows with ``u < 0.5`` mirrored left and right; ``u (B,)``."""
    return torch.where((u < 0.5)[:, None, None, None], x.flip(3), x)


def whole(name: str, value: int) -> int:
    """A whole number of pixels, 0 or more."""
    if not is_finite(value) or value != int(value) or value < 0:
        raise ConfigError(f"{name} must be a whole number of 0 or more, not {value}", "try 1 or 4")
    return int(value)


class Identity(ViewAugment):
    """The view as it is."""

    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        """``x``."""
        return x


class Shift(ViewAugment):
    """Shift by up to ``pixels`` in both directions, zeros moving in; never a flip.

    Args:
        pixels: largest shift.

    Shapes:
        ``(B, c, h, w)`` floats in [0, 1]; two random numbers a row.
    """

    draws = 2

    def __init__(self, pixels: int = 1) -> None:
        super().__init__()
        self.pixels = whole("pixels", pixels)

    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        """Shift each row."""
        check_images("shift", x)
        check_draws("shift", len(x), self.draws, u)
        return moved(x, self.pixels, u)


class Flip(ViewAugment):
    """Mirror left and right with probability 1/2.

    Shapes:
        ``(B, c, h, w)``; one random number a row.
    """

    draws = 1

    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        """Mirror some rows."""
        check_images("flip", x)
        check_draws("flip", len(x), self.draws, u)
        return mirrored(x, u[:, 0])


class CropFlip(ViewAugment):
    """Pad by zeros, crop the old size at a random place, and mirror with probability 1/2.

    Args:
        padding: pixels on each side.
        flip: mirror, too.

    Shapes:
        ``(B, c, h, w)``; three random numbers a row, two without flip.
    """

    def __init__(self, padding: int = 4, flip: bool = True) -> None:
        super().__init__()
        self.padding, self.flip = whole("padding", padding), bool(flip)
        self.draws = 2 + self.flip

    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        """Crop and mirror each row."""
        check_images("crop_flip", x)
        check_draws("crop_flip", len(x), self.draws, u)
        out = moved(x, self.padding, u[:, :2])
        return mirrored(out, u[:, 2]) if self.flip else out


class Chain(ViewAugment):
    """View transforms in order; each gets its own columns of the random numbers.

    Args:
        inner: view transforms.
    """

    def __init__(self, *inner: ViewAugment) -> None:
        super().__init__()
        for step in inner:
            if not isinstance(step, ViewAugment):
                raise ConfigError(
                    f"chain takes view transforms, not {type(step).__name__}",
                    "give parts such as shift(pixels=1), flip()",
                )
        self.inner = torch.nn.ModuleList(inner)
        self.draws = sum(step.draws for step in inner)

    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        """Apply all."""
        check_draws("chain", len(x), self.draws, u)
        at = 0
        for step in self.inner:
            width = int(step.draws)  # type: ignore[arg-type]
            x = step(x, u[:, at : at + width])
            at += width
        return x
