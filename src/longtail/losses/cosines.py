"""Whether a loss of scaled cosines is given such."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

__all__ = ["check_cosines"]

_ROUNDING = 1.01  # half precision
_MANY = 64  # by chance that many cosines are not all small


def check_cosines(name: str, logits: Tensor, scale: float | None) -> None:
    """Warn of logits that are no cosines times ``scale``. It waits for the device.

    Args:
        name: of the loss.
        logits: ``(N, C, ...)``: the first that the loss is called with.
        scale: what it expects; ``None``: anything.
    """
    if scale is None or torch.compiler.is_compiling() or logits.is_meta or not logits.numel():
        return
    if logits.is_cuda and torch.cuda.is_current_stream_capturing():
        return
    largest = float(logits.detach().abs().max())
    if largest > _ROUNDING * scale:
        fault = f"logits of up to {largest:.3g}"
    elif logits.numel() >= _MANY and 0 < largest <= min(_ROUNDING, 0.5 * scale):
        fault = f"logits of at most {largest:.3g}, like cosines before they are scaled"
    else:
        return
    warnings.warn(
        f"{name} expects cosines times its scale {scale:g} and was given {fault}\n"
        f"use a head such as CosineHead(features, classes, scale={scale:g}), which scales them",
        UserWarning,
        stacklevel=5,
    )
