"""Label smoothing whose strength follows the class count.

As in :mod:`longtail.functional.losses`, a function of ``logits (B, C)`` and ``target (B,)`` returns
``(B,)``, its ``_classes`` twin ``(B, C)``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.checks import is_finite
from longtail.errors import ConfigError, UnknownNameError

__all__ = [
    "SHAPES",
    "label_aware_smoothing",
    "label_aware_smoothing_classes",
    "smoothing_rates",
]

SHAPES = ("concave", "linear", "convex", "exp")


def smoothing_rates(
    counts: Tensor,
    *,
    head: float,
    tail: float,
    shape: str = "concave",
    power: float | None = None,
    present: Tensor | None = None,
) -> Tensor:
    """``e_c = tail + (head - tail) g((n_c - n_min) / (n_max - n_min))``.

    ``g(u)`` is ``sin(pi u / 2)`` (concave), ``u`` (linear), ``1 + sin(3 pi / 2 + pi u / 2)``
    (convex) or ``u ** power`` (exp). Equal counts, for which ``u`` is 0/0, get ``head``.

    Args:
        counts: ``(C,)`` training counts.
        head: strength for the largest count.
        tail: strength for the smallest count, at most ``head``.
        shape: one of :data:`SHAPES`.
        power: exponent of ``exp``, and of nothing else.
        present: ``(C,)`` classes that take part in the extremes; all by default.

    Returns:
        ``(C,)`` float64.

    Raises:
        ConfigError: strengths outside ``[0, 1)``, ``head < tail``, or a power that is not positive,
            missing, or given to another shape.

    Reference: Zhong et al., *Improving calibration for long-tailed recognition*, CVPR 2021.
    """
    check_rates(head, tail, shape, power)
    n = counts.to(torch.float64)
    seen = n if present is None else n[present]
    low, high = seen.min(), seen.max()
    if float(high) == float(low):
        return torch.full_like(n, head)
    u = ((n - low) / (high - low)).clamp(0, 1)
    if shape == "concave":
        g = torch.sin(math.pi / 2 * u)
    elif shape == "convex":
        g = 1 - torch.cos(math.pi / 2 * u)  # 1 + sin(3 pi / 2 + pi u / 2)
    else:
        g = u if power is None else u**power
    return tail + (head - tail) * g


def check_rates(head: float, tail: float, shape: str, power: float | None) -> None:
    """Refuse what :func:`smoothing_rates` does not take."""
    if not is_finite(head, tail) or not 0 <= tail <= head < 1:
        raise ConfigError(
            f"smoothing of head and tail must satisfy 0 <= tail <= head < 1, not {tail} and {head}",
            "common classes are smoothed more: 0.3 and 0.0, or 0.4 and 0.1, are the published pairs",
        )
    if shape not in SHAPES:
        raise UnknownNameError("smoothing shape", shape, SHAPES)
    if (power is None) == (shape == "exp"):
        wrong = "needs its power" if power is None else f"has no power, and was given {power}"
        raise ConfigError(f"smoothing of shape {shape!r} {wrong}", "power belongs to shape 'exp'")
    if power is not None and (not is_finite(power) or power <= 0):
        raise ConfigError(f"power must be positive and finite, not {power}", "try power=2.0")


def label_aware_smoothing_classes(
    logits: Tensor, rates: Tensor, *, spread: str = "all", present: Tensor | None = None
) -> Tensor:
    """:func:`label_aware_smoothing` of every class. Shape ``(B, C)``."""
    loss = -F.log_softmax(logits, dim=1)
    e = rates.to(logits.dtype)
    even, others = _even(loss, spread, present)
    rest = even[:, None] - loss / others if spread == "others" else even[:, None]
    return (1 - e) * loss + e * rest


def label_aware_smoothing(
    logits: Tensor,
    target: Tensor,
    rates: Tensor,
    *,
    spread: str = "all",
    present: Tensor | None = None,
) -> Tensor:
    """``(1 - e_y) l_y + e_y mean_j l_j`` with ``l = -log softmax(z)``.

    The mean runs over all classes (``spread="all"``, what the published code trains) or over the
    classes other than ``y`` (``spread="others"``, the formula of the paper).

    Args:
        logits: ``(B, C)``.
        target: ``(B,)`` class ids.
        rates: ``(C,)`` strengths, see :func:`smoothing_rates`.
        spread: ``all`` or ``others``.
        present: ``(C,)`` classes that the mean runs over; all by default.

    Reference: Zhong et al., CVPR 2021 (MiSLAS).
    """
    loss = -F.log_softmax(logits, dim=1)
    own = loss.gather(1, target[:, None]).squeeze(1)
    e = rates.to(logits.dtype)[target]
    even, others = _even(loss, spread, present)
    rest = even - own / others if spread == "others" else even
    return (1 - e) * own + e * rest


def _even(loss: Tensor, spread: str, present: Tensor | None) -> tuple[Tensor, int | Tensor]:
    """``(B,)`` sum over classes, divided by their number (less one for ``others``); that number."""
    if present is None:
        total, count = loss.sum(1), torch.tensor(loss.shape[1], device=loss.device)
    else:
        on = present.to(loss.device)
        total, count = (loss * on).sum(1), on.sum()
    number = (count - 1).clamp_min(1) if spread == "others" else count
    return total / number, number
