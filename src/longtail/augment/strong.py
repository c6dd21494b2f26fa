"""A strong view: moved, jittered and partly erased."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.augment.base import ViewAugment, check_draws, check_images
from longtail.augment.views import mirrored, moved, whole
from longtail.checks import is_finite
from longtail.errors import ConfigError

__all__ = ["Strong", "erased", "jittered"]

_GREY = (0.299, 0.587, 0.114)


def jittered(x: Tensor, factors: Tensor) -> Tensor:
    """Brightness, contrast and saturation times a factor each; clamped to [0, 1].

    Args:
        x: ``(B, c, h, w)``; saturation needs three channels and is left out otherwise.
        factors: ``(B, 3)``; 1 changes nothing.
    """
    brightness, contrast, saturation = factors.to(x)[:, :, None, None, None].unbind(1)
    colour = x.shape[1] == 3
    x = (x * brightness).clamp(0, 1)
    mean = _grey(x).mean((2, 3), keepdim=True)
    x = torch.lerp(mean.expand_as(x), x, contrast).clamp(0, 1)
    return torch.lerp(_grey(x).expand_as(x), x, saturation).clamp(0, 1) if colour else x


def _grey(x: Tensor) -> Tensor:
    if x.shape[1] != 3:
        return x.mean(1, keepdim=True)
    return (x * x.new_tensor(_GREY)[:, None, None]).sum(1, keepdim=True)


def erased(x: Tensor, u: Tensor, chance: float, area: tuple[float, float]) -> Tensor:
    """A box of each chosen row replaced by the row's mean colour.

    Args:
        x: ``(B, c, h, w)``.
        u: ``(B, 5)`` uniform: chosen, area, aspect, top, left.
        chance: probability of a row.
        area: smallest and largest share of the image; the aspect lies between 1/2 and 2.
    """
    h, w = x.shape[2:]
    low, high = area
    side = (low + (high - low) * u[:, 1]).sqrt()
    stretch = torch.exp2(u[:, 2] - 0.5)
    tall = (side * stretch * h).round().clamp(1, h)
    wide = (side / stretch * w).round().clamp(1, w)
    top = (u[:, 3] * (h - tall + 1)).floor()
    left = (u[:, 4] * (w - wide + 1)).floor()
    rows = torch.arange(h, device=x.device)
    columns = torch.arange(w, device=x.device)
    in_rows = (rows >= top[:, None]) & (rows < (top + tall)[:, None])
    in_columns = (columns >= left[:, None]) & (columns < (left + wide)[:, None])
    box = in_rows[:, None, :, None] & in_columns[:, None, None, :]
    box = box & (u[:, 0] < chance)[:, None, None, None]
    return torch.where(box, x.mean((2, 3), keepdim=True), x)


class Strong(ViewAugment):
    """Shift, colour jitter and random erasing, row by row.

    Args:
        strength: 0 changes nothing; multiplies padding, jitter and the chance of erasing.
        padding: largest shift in pixels; ``None`` is an eighth of the height.
        brightness: factor drawn from ``[1 - b, 1 + b]``.
        contrast: likewise.
        saturation: likewise; three channels only.
        erase: chance that a box of 5 to 25 % of the image is erased.
        flip: mirror with probability 1/2 (off: digits and characters have a side).

    Shapes:
        ``(B, c, h, w)`` floats in [0, 1] to the same; 11 random numbers a row.
    """

    draws = 11

    def __init__(
        self,
        strength: float = 1.0,
        *,
        padding: int | None = None,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        erase: float = 0.5,
        flip: bool = False,
    ) -> None:
        super().__init__()
        jitter = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        for name, value in {"strength": strength, **jitter, "erase": erase}.items():
            if not is_finite(value) or not 0 <= value <= 1:
                raise ConfigError(f"{name} must lie in [0, 1], not {value}", "try 0.4")
        if padding is not None:
            whole("padding", padding)
        self.strength, self.padding, self.erase, self.flip = strength, padding, erase, flip
        self.brightness, self.contrast, self.saturation = brightness, contrast, saturation

    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        """Transform each row."""
        check_images("strong", x)
        check_draws("strong", len(x), self.draws, u)
        if self.strength == 0 and not self.flip:
            return x.clone()
        pixels = round(x.shape[2] / 8) if self.padding is None else self.padding
        x = moved(x, round(self.strength * pixels), u[:, :2])
        if self.flip:
            x = mirrored(x, u[:, 2])
        spread = torch.stack(
            [
                torch.full_like(u[:, 0], v)
                for v in (self.brightness, self.contrast, self.saturation)
            ],
            1,
        )
        x = jittered(x, 1 + self.strength * spread * (2 * u[:, 3:6] - 1))
        return erased(x, u[:, 6:11], self.strength * self.erase, (0.05, 0.25))
