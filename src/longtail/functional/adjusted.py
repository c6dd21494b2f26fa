"""Cross-entropy of adjusted logits: one kernel for offsets, scales, margins and row factors."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from longtail.errors import DataError
from longtail.functional.fused import in_blocks, softmax_block

__all__ = ["adjusted_cross_entropy"]


def adjusted_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    scale: Tensor | None = None,
    offset: Tensor | None = None,
    label_shift: Tensor | None = None,
    row_scale: Tensor | None = None,
) -> Tensor:
    """``-log softmax(t)_y`` with ``t_j = r (d_j z_j + a_j + u 1[j = y])``.

    Args:
        logits: ``(B, C)`` ``z``.
        target: ``(B,)`` class ids ``y``.
        scale: ``(C,)`` ``d``; ones when absent.
        offset: ``(C,)`` or ``(B, C)`` ``a``; zeros when absent.
        label_shift: ``(B,)`` ``u``, added to the logit of the label; minus a margin.
        row_scale: ``(B,)`` ``r``; ones when absent.

    Returns:
        ``(B,)``. None of the four others gets a gradient.

    Raises:
        DataError: an offset, scale, shift or factor of another shape.
    """
    b, c = logits.shape
    _refuse("offset", offset, (c,), (b, c))
    _refuse("scale", scale, (c,))
    _refuse("label shift", label_shift, (b,))
    _refuse("row scale", row_scale, (b,))
    d, a, u, r = (
        None if t is None else t.detach().to(logits.dtype)
        for t in (scale, offset, label_shift, row_scale)
    )
    by_row = a is not None and a.ndim == 2

    def adjusted(z: Tensor, label: Tensor, at: slice) -> Tensor:
        t = z if d is None else z * d
        if a is not None:
            t = t + (a[at] if by_row else a)
        if u is not None:
            t = t.scatter_add(1, label, u[at, None])
        return t if r is None else t * r[at, None]

    def block(z: Tensor, label: Tensor, at: slice, out: Tensor) -> Tensor:
        loss = softmax_block(adjusted(z, label, at), label, out)
        if r is not None:
            out.mul_(r[at, None])
        if d is not None:
            out.mul_(d)
        return loss

    def plain(z: Tensor, target: Tensor) -> Tensor:
        t = adjusted(z, target[:, None], slice(0, len(z)))
        return F.cross_entropy(t, target, reduction="none")

    return in_blocks(logits, target, block, plain)


def _refuse(name: str, value: Tensor | None, *shapes: tuple[int, ...]) -> None:
    """Refuse what would be spread over rows or classes, or fits neither."""
    if value is not None and tuple(value.shape) not in shapes:
        raise DataError(
            f"the {name} has shape {tuple(value.shape)}, not {' or '.join(map(str, shapes))}",
            "give one number for each class, or for each row where rows have their own",
        )
