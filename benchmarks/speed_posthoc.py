"""Choosing tau and class means against the usual ways.

    python benchmarks/speed_posthoc.py

The sweep: 21 values of tau for the tau-normalised classifier on 10,000 rows of 2,048 features and
1,000 classes. The usual way normalises the weights, multiplies again and takes the maximum for each
tau. Class means: 30,000 rows of 512 features in 1,000 classes against a mask for each class.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from longtail.models.heads.fitted import class_means
from longtail.posthoc import FitData, LogitAdjust, TauNorm
from longtail.posthoc.choice import tau_grid
from longtail.types import ClassStats, Outputs
from timing import ratios, save

COMMAND = "python benchmarks/speed_posthoc.py"
ROWS, WIDTH, CLASSES = 10_000, 2_048, 1_000


def problem() -> tuple[FitData, Tensor, Tensor, Tensor]:
    """Validation outputs of a linear head, its weights, features and labels."""
    g = torch.Generator().manual_seed(0)
    target = torch.randint(0, CLASSES, (ROWS,), generator=g)
    counts = (1280 * 256.0 ** (-torch.arange(CLASSES) / (CLASSES - 1))).long().clamp_min(5)
    weight = torch.randn(CLASSES, WIDTH, generator=g) * (counts / 1280)[:, None] ** 0.25
    features = torch.randn(ROWS, WIDTH, generator=g) + 0.3 * weight[target]
    outputs = Outputs(features @ weight.T, features)
    data = FitData(outputs, target, ClassStats(counts.tolist()), head_weight=weight)
    return data, weight, features, target


def sweeps() -> list[dict[str, Any]]:
    """tau of the normalised classifier, and of logit adjustment."""
    data, weight, features, target = problem()
    grid, norm = tau_grid(), weight.norm(dim=1, keepdim=True)
    log_prior = data.stats.log_prior.float()

    def right(logits: Tensor) -> Tensor:
        hit = logits.argmax(1) == target
        return torch.bincount(target[hit], minlength=CLASSES)

    def usual(taus: Tensor = grid) -> list[Tensor]:
        return [right(features @ (weight / norm**t).T) for t in taus.tolist()]

    def usual_shift(taus: Tensor = grid) -> list[Tensor]:
        return [right(data.outputs.logits - t * log_prior) for t in taus.tolist()]  # type: ignore[union-attr]

    def ours() -> TauNorm:
        return TauNorm(None).fit(data)

    def ours_shift() -> LogitAdjust:
        return LogitAdjust().fit(data)

    rows = []
    for name, mine, other, goal in (
        ("tau of the normalised classifier, 21 values", ours, usual, ">= 14"),
        ("tau of logit adjustment, 21 values", ours_shift, usual_shift, ""),
    ):
        found = ratios({"ours": mine, "usual": other}, "ours", rounds=3)["usual"]
        how = "faster than one product and maximum a tau"
        rows.append({"what": name, "against": how, "goal": goal, **found})
    return rows


def means() -> list[dict[str, Any]]:
    """Class means."""
    g = torch.Generator().manual_seed(1)
    features = torch.randn(30_000, 512, generator=g)
    target = torch.randint(0, CLASSES, (30_000,), generator=g)

    def usual() -> Tensor:
        return torch.stack([features[target == c].mean(0) for c in range(CLASSES)])

    def ours() -> Tensor:
        return class_means(features, target, torch.bincount(target, minlength=CLASSES))

    torch.testing.assert_close(ours(), usual(), rtol=1e-4, atol=1e-5)
    found = ratios({"ours": ours, "usual": usual}, "ours", rounds=9)["usual"]
    return [{"what": "class means of 30,000 rows", "against": "faster than a mask a class",
             "goal": ">= 5", **found}]  # fmt: skip


def main() -> None:
    """Measure and keep."""
    save("posthoc", [*sweeps(), *means()], COMMAND)


if __name__ == "__main__":
    main()
