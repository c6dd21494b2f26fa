"""Forward and backward of every loss beside a plain base, in one run.

    python benchmarks/speed_losses.py [--rounds 101] [--only ldam seesaw]

Every loss of ``longtail list losses``, and the forms that recipes give them, at 1024 x 1000 and
128 x 8142, on logits in the range of cosines and on normal ones of deviation 2 (both times the
scale of the loss, where it has one). The base gets the same logits and labels: cross-entropy of
torch; for one-vs-rest losses its binary cross-entropy summed over classes; for losses with noise
cross-entropy of logits to which clipped normal noise of torch's generator was added. Each loss
takes turns with its base, call by call. The row ``cross_entropy`` is torch's own call behind ours:
how far it stands from 1 tells how quiet the machine was.
"""

from __future__ import annotations

import argparse
import ctypes
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.registry import create, part, records
from timing import ratios, save, show

SIZES = ((1024, 1000), (128, 8142))
RANGES = ("cosine", "normal")
WEIGHTED = {"weight": part("inverse_frequency"), "reduction": "weighted_mean"}
BALANCED = {"weight": part("effective_number"), "reduction": "weighted_mean"}
#: label -> (loss, options): what recipes make of the records
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "weighted_ce": ("cross_entropy", WEIGHTED),
    "weighted_ce, plain mean": ("cross_entropy", {**WEIGHTED, "reduction": "mean"}),
    "cb": ("cross_entropy", BALANCED),
    "pc_softmax": ("cross_entropy", {}),  # its training; the prior is taken out afterwards
    "cb, sigmoid": ("focal", {**BALANCED, "gamma": 0.0, "form": "sigmoid", "reduction": "mean"}),
    "ldam_drw": ("ldam", {**BALANCED, "weight": part("deferred", part("effective_number"))}),
    "focal, sigmoid": ("focal", {"form": "sigmoid"}),
    "cb_focal": ("focal", BALANCED),
    "eql, sigmoid": ("eql", {"form": "sigmoid", "gamma": 1.0}),
    "cdt": ("vs", {"tau": 0.0}),
    "vs, truncated": ("vs", {"truncate": 0.0}),
    "seesaw, online": ("seesaw", {"counts": "online"}),
    "gcl, angular": ("gcl", {"form": "angular"}),
    "gcl, second stage": ("gcl", {"margin": 0.1, "gamma": 1.0}),
}
BINARY = ("acsl", "eqlv2", "cb, sigmoid", "focal, sigmoid", "eql, sigmoid")
#: label -> most times the base that is allowed
GOALS = {
    **dict.fromkeys(("weighted_ce", "cb", "la", "balanced_softmax", "pc_softmax"), 1.3),
    **dict.fromkeys(("ldam", "vs", "focal"), 1.6),
    "seesaw": 3.2,
}


def counts(classes: int) -> Tensor:
    """Training counts from 1280 down to 5, exponentially."""
    return (1280 * (5 / 1280) ** (torch.arange(classes) / (classes - 1))).long()


def binary(z: Tensor, y: Tensor) -> Tensor:
    """Torch's binary cross-entropy, summed over classes, a mean over rows."""
    hot = F.one_hot(y, z.shape[1]).to(z.dtype)
    return F.binary_cross_entropy_with_logits(z, hot, reduction="sum") / len(z)


def noised(z: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of noised logits."""
    noise = torch.randn(z.shape).mul_(1 / 3).clamp_(-1, 1).abs_()
    return F.cross_entropy(z - noise, y)


BASES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "F.cross_entropy": F.cross_entropy,
    "binary cross-entropy": binary,
    "cross-entropy of noised logits": noised,
}


def keep_memory() -> None:
    """Tell the C library to keep freed memory: page faults, which depend on what was freed before,
    can take three times as long as the arithmetic, in torch's own calls as in ours."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for option in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            libc.mallopt(option, 1 << 30)


def call(loss: Any, z: Tensor, y: Tensor, features: Tensor | None) -> Callable[[], None]:
    """Forward and backward."""

    def run() -> None:
        z.grad = None
        (loss(z, y) if features is None else loss(z, y, features=features)).backward()

    return run


def candidates(classes: int, only: list[str]) -> dict[str, tuple[Any, str]]:
    """Label -> the loss and the name of its base."""
    wanted = {r.name: (r.name, dict(r.case)) for r in records("losses")} | FORMS
    out = {}
    for label, (name, options) in wanted.items():
        if only and label not in only:
            continue
        loss = create("loss", name, class_counts=counts(classes), **options)
        base = "cross-entropy of noised logits" if loss.noisy else "F.cross_entropy"
        out[label] = loss, "binary cross-entropy" if label in BINARY else base
    return out


def measure(
    rows: int, classes: int, kind: str, only: list[str], rounds: int
) -> list[dict[str, Any]]:
    """All losses at one size and one range of logits."""
    g = torch.Generator().manual_seed(0)
    unit = 2 * torch.rand(rows, classes, generator=g) - 1
    if kind == "normal":
        unit = 2 * torch.randn(rows, classes, generator=g)
    y = torch.multinomial(counts(classes).double(), rows, replacement=True, generator=g)
    features = torch.randn(rows, 64, generator=g)
    made = candidates(classes, only)
    out = []
    for scale in sorted({loss.scale or 1.0 for loss, _ in made.values()}):
        z = (scale * unit).requires_grad_()
        mine = {k: v for k, v in made.items() if (v[0].scale or 1.0) == scale}
        for label, (loss, base) in mine.items():
            pair = {base: call(BASES[base], z, y, None), label: call(loss, z, y, features)}
            found = ratios(pair, base, rounds=rounds, least=0)  # call by call in turn
            row = {"what": f"{label} {rows}x{classes} {kind}", "against": base}
            goal = f"at most {GOALS[label]}" if label in GOALS else ""
            base_seconds = found[base]["seconds"]
            out.append({**row, **found[label], "goal": goal, "base_seconds": base_seconds})
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=101)
    parser.add_argument("--only", nargs="*", default=[])
    given = parser.parse_args()
    keep_memory()
    rows: list[dict[str, Any]] = []
    for n, c in SIZES:
        for kind in RANGES:
            rows += measure(n, c, kind, given.only, given.rounds)
    if given.only:  # a look at some of them; the table is made of one run
        show(rows)
    else:
        save("losses", rows, f"python benchmarks/speed_losses.py --rounds {given.rounds}")


if __name__ == "__main__":
    main()
