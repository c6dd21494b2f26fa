"""Losses that follow the model against their plain base: ``python benchmarks/speed_stateful.py``.

Forward and backward, eager, one thread. ``eqlv2`` is held against binary cross-entropy summed over
classes, ``influence_balanced``, ``uncertainty_margin`` and ``lade`` (balanced softmax and its regulariser)
against cross-entropy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail import create
from longtail.functional.lade import lade_regulariser
from timing import ratios, save

__all__: list[str] = []

SIZES = ((1024, 1000), (128, 8142))
FEATURES = 512


def both_ways(loss: Callable[[Tensor], Tensor], z: Tensor) -> Callable[[], None]:
    """One forward and backward pass."""

    def run() -> None:
        z.grad = None
        loss(z).backward()  # type: ignore[no-untyped-call]

    return run


def measure(rows: int, classes: int) -> list[dict[str, Any]]:
    """Rows of the table for one size."""
    g = torch.Generator().manual_seed(0)
    z = (2 * torch.randn(rows, classes, generator=g)).requires_grad_()
    h = torch.rand(rows, FEATURES, generator=g)
    y = torch.randint(0, classes, (rows,), generator=g)
    counts = torch.arange(classes, 0, -1)
    hot = F.one_hot(y, classes).float()
    losses = {n: create("loss", n, class_counts=counts) for n in ("eqlv2", "influence_balanced", "uncertainty_margin")}  # fmt: skip
    balanced = create("loss", "balanced_softmax", class_counts=counts)
    log_prior = (counts / counts.sum()).log()
    found = ratios(
        {
            "cross_entropy": both_ways(lambda x: F.cross_entropy(x, y), z),
            "bce": both_ways(
                lambda x: F.binary_cross_entropy_with_logits(x, hot, reduction="sum") / rows, z
            ),
            "lade": both_ways(
                lambda x: balanced(x, y) + 0.1 * lade_regulariser(x, y, log_prior), z
            ),
            **{n: both_ways(lambda x, f=f: f(x, y, features=h), z) for n, f in losses.items()},  # type: ignore[misc]
        },
        "cross_entropy",
    )
    table = []
    for name, base in (
        ("eqlv2", "bce"),
        ("influence_balanced", "cross_entropy"),
        ("uncertainty_margin", "cross_entropy"),
        ("lade", "cross_entropy"),
    ):
        ratio = found[name]["ratio"] / found[base]["ratio"]
        what = f"{name} {rows} x {classes}"
        table.append({"what": what, "against": base, "ratio": ratio, "goal": "", "seconds": found[name]["seconds"]})  # fmt: skip
    return table


def main() -> None:
    """Measure and save."""
    rows = [row for size in SIZES for row in measure(*size)]
    save("stateful", rows, "python benchmarks/speed_stateful.py")


if __name__ == "__main__":
    main()
