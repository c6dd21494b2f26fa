"""Losses of rows whose gradient is made together with the value, block by block.

Eager autograd reads and writes a ``(B, C)`` tensor once for every operation. Where the gradient
of a loss is known in closed form, it is built in the forward pass from rows that lie in cache,
and the backward pass only scales it. A second derivative is taken of the plain formula.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Block", "Plain", "in_blocks", "softmax_block"]

#: ``block(logits (b, C), label (b, 1), rows, out (b, C)) -> (b,)``: losses of some rows, their
#: gradients written to ``out``; ``rows`` says which rows of the batch these are.
Block = Callable[[Tensor, Tensor, slice, Tensor], Tensor]
#: ``plain(logits (B, C), target (B,)) -> (B,)``: the same losses in differentiable operations.
Plain = Callable[[Tensor, Tensor], Tensor]

#: elements of a block on a processor: its rows stay in cache from one operation to the next.
_BLOCK = 1 << 18


def in_blocks(logits: Tensor, target: Tensor, block: Block, plain: Plain) -> Tensor:
    """Loss of each row, with the gradient built in the forward pass where one is wanted.

    Args:
        logits: ``(B, C)``.
        target: ``(B,)`` class ids.
        block: value and gradient of some rows.
        plain: the same value by differentiable operations: what is called without gradient,
            while compiling, and for second derivatives.

    Returns:
        ``(B,)``.
    """
    wanted = torch.is_grad_enabled() and logits.requires_grad
    if not wanted or torch.compiler.is_compiling():
        return plain(logits, target)
    loss: Tensor = _InBlocks.apply(logits, target, block, plain)[0]  # type: ignore[no-untyped-call]
    return loss


def softmax_block(logits: Tensor, label: Tensor, out: Tensor) -> Tensor:
    """Cross-entropy of rows ``(b, C)`` with labels ``(b, 1)``; its gradient goes to ``out``.

    Built on the softmax kernel: an exponential of strongly negative numbers on its own takes
    many times as long on some processors.
    """
    torch.softmax(logits, 1, out=out)
    own = out.gather(1, label)[:, 0]
    if logits.device.type == "cpu" and bool((own > torch.finfo(own.dtype).tiny).all()):
        loss = own.log_().neg_()
    else:  # where a probability vanishes, its logarithm comes from the logits
        loss = logits.amax(1) - out.amax(1).log_() - logits.gather(1, label)[:, 0]
    out.scatter_add_(1, label, torch.full_like(label, -1, dtype=out.dtype))
    return loss


def _run(logits: Tensor, target: Tensor, block: Block) -> tuple[Tensor, Tensor]:
    rows, classes = logits.shape
    step = max(1, _BLOCK // classes) if logits.device.type == "cpu" else max(1, rows)
    gradient = torch.empty(logits.shape, dtype=logits.dtype, device=logits.device)
    loss = gradient.new_empty(rows)
    label = target[:, None]
    for start in range(0, rows, step):
        at = slice(start, min(rows, start + step))
        loss[at] = block(logits[at], label[at], at, gradient[at])
    return loss, gradient


class _InBlocks(torch.autograd.Function):
    """See :func:`in_blocks`; the second output is the gradient of the sum."""

    @staticmethod
    def forward(
        logits: Tensor, target: Tensor, block: Block, plain: Plain
    ) -> tuple[Tensor, Tensor]:
        return _run(logits, target, block)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        logits, target, ctx.block, ctx.plain = inputs
        ctx.gradient = output[1]
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(logits, target)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor | None) -> tuple[Tensor | None, None, None, None]:
        scale = outer[0]
        if scale is None:
            return None, None, None, None
        logits, target = ctx.saved_tensors
        if torch.is_grad_enabled():  # someone will differentiate this gradient
            loss = ctx.plain(logits, target)
            (out,) = torch.autograd.grad(loss, logits, scale, create_graph=True)
            return out, None, None, None
        gradient, ctx.gradient = ctx.gradient, None  # scaled in place: once
        if gradient is None:
            gradient = _run(logits, target, ctx.block)[1]
        return gradient.mul_(scale[:, None]), None, None, None
