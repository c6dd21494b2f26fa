"""Second stages that correct the logits of a trained classifier, as pure arithmetic."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["align_distribution", "calibrate_margins", "max_norm", "norm_threshold"]


def align_distribution(
    logits: Tensor, confidence: Tensor, alpha: Tensor, beta: Tensor, *, form: str = "paper"
) -> Tensor:
    """``s (alpha z + beta) + (1 - s) z``; in the form ``code``: ``(1 + s alpha) z + s beta``.

    The two are one family: ``alpha`` of the paper is ``alpha`` of the code plus one.

    Args:
        logits: ``(B, C)``.
        confidence: ``(B, 1)`` ``s`` in ``(0, 1)``.
        alpha: ``(C,)`` magnitudes.
        beta: ``(C,)`` margins.
        form: ``paper`` or ``code``.

    Reference: Zhang et al., *Distribution alignment: a unified framework for long-tail visual
    recognition*, CVPR 2021.
    """
    gain = alpha if form == "code" else alpha - 1
    return logits + confidence * (gain * logits + beta)


def calibrate_margins(logits: Tensor, weight: Tensor, omega: Tensor, beta: Tensor) -> Tensor:
    """``omega_c z_c + beta_c |w_c|``; no gradient flows through the norms.

    Args:
        logits: ``(B, C)``.
        weight: ``(C, D)`` of the classifier that gave them.
        omega: ``(C,)``.
        beta: ``(C,)``.

    Reference: Wang et al., *Margin calibration for long-tailed visual recognition*, ACML 2022.
    """
    wide = weight.detach().to(torch.promote_types(weight.dtype, torch.float32))
    return omega * logits + beta * _lengths(wide)


def norm_threshold(weight: Tensor, share: float = 0.1) -> Tensor:
    """``min_c |w_c| + share (max_c |w_c| - min_c |w_c|)``, 0-d, of ``(C, D)`` weights."""
    norms = _lengths(weight.detach())
    return norms.min() + share * (norms.max() - norms.min())


def max_norm(weight: Tensor, threshold: Tensor | float) -> Tensor:
    """``w_c min(1, threshold / |w_c|)``: rows that are too long are cut to the threshold.

    Args:
        weight: ``(C, D)``; a zero row stays zero.
        threshold: largest length a row may have.

    Reference: Alshammari et al., *Long-tailed recognition via weight balancing*, CVPR 2022.
    """
    norms = _lengths(weight).clamp_min(torch.finfo(weight.dtype).tiny)
    kept = (threshold / norms).clamp_max(1)
    return weight * kept.reshape(-1, *[1] * (weight.ndim - 1))


def _lengths(weight: Tensor) -> Tensor:
    """``(C,)`` Euclidean lengths of rows."""
    lengths: Tensor = torch.linalg.vector_norm(weight.flatten(1), dim=1)
    return lengths
