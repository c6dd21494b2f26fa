"""Which losses reach the least balanced error there is: two Gaussians, everything known.

    python benchmarks/bayes.py            # writes docs/bayes.md, about two minutes on one core

The example of Menon et al., ICLR 2021, section 6.1: in the plane a rare class around (1, 1) and a
common one around (-1, -1), both with unit covariance. The balanced error of a straight boundary is
exact, the least one is Phi(-sqrt 2), and a linear model can express it. Every loss is the library's,
minimised in full batches to the end, so that nothing but the loss and the sample tells.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtail import create
from longtail.registry import part

PAGE = Path(__file__).resolve().parents[1] / "docs" / "bayes.md"
MEAN = 1.0
BAYES = 0.5 * math.erfc(MEAN)  # Phi(-sqrt(2) * MEAN)
SETTINGS = ((0.05, 1000), (0.05, 10000), (0.01, 10000), (0.01, 50000))
INVERSE = {"weight": part("inverse_frequency"), "reduction": "weighted_mean"}
HALF = {"weight": part("inverse_frequency", power=0.5), "reduction": "weighted_mean"}

#: name in the table -> (loss, its options)
LOSSES: dict[str, tuple[str, dict[str, Any]]] = {
    "ce": ("cross_entropy", {}),
    "la": ("la", {}),
    "la_pairwise": ("la_pairwise", HALF),
    "weighted_ce": ("cross_entropy", INVERSE),
    "ldam": ("ldam", {"margin": 1.0, "scale": 1.0}),
}


def sample(rare: float, rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """``(N, 2)`` points and ``(N,)`` labels; class 1 has ``rare * rows`` of them."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) < round(rare * rows)
    x = rng.normal(size=(rows, 2)) + MEAN * np.where(y[:, None], 1.0, -1.0)
    return torch.from_numpy(x), torch.from_numpy(y.astype(np.int64))


def minimise(loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    """``(3, 2)`` weights and biases of the linear model with the least loss."""
    inputs = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)
    weight = torch.zeros(3, 2, dtype=x.dtype, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight], max_iter=200, tolerance_grad=1e-9, tolerance_change=1e-13,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        solver.zero_grad()
        value = loss(inputs @ weight, y)
        value.backward()
        return value

    solver.step(closure)
    return weight.detach()


def balanced_error(weight: Tensor) -> float:
    """Exact: the mean of both classes' chance to fall on the wrong side of the boundary."""
    w = (weight[:, 1] - weight[:, 0]).tolist()
    length = math.hypot(w[0], w[1])
    at = [(s * MEAN * (w[0] + w[1]) + w[2]) / length for s in (1, -1)]
    return 0.25 * (math.erfc(at[0] / math.sqrt(2)) + math.erfc(-at[1] / math.sqrt(2)))


def excess(rare: float, rows: int, seed: int) -> dict[str, float]:
    """Balanced error above the least one, in points, of each loss on one sample."""
    x, y = sample(rare, rows, seed)
    counts = torch.bincount(y)
    found = {}
    for name, (loss, options) in LOSSES.items():
        weight = minimise(create("loss", loss, class_counts=counts, **options), x, y)
        found[name] = 100 * (balanced_error(weight) - BAYES)
    return found


def table(seeds: int, settings: Sequence[tuple[float, int]] = SETTINGS) -> list[dict[str, Any]]:
    """One row a setting: mean and deviation of each loss, and the paired difference."""
    out = []
    for rare, rows in settings:
        each = [excess(rare, rows, seed) for seed in range(seeds)]
        values = {k: np.array([e[k] for e in each]) for k in LOSSES}
        gap = values["weighted_ce"] - values["la"]
        row: dict[str, Any] = {"rare": rare, "rows": rows, "seeds": seeds}
        row.update({k: (float(v.mean()), float(v.std(ddof=1))) for k, v in values.items()})
        row["gap"] = (float(gap.mean()), float(gap.std(ddof=1) / math.sqrt(seeds)))
        out.append(row)
        print(row, flush=True)
    return out


def page(rows: list[dict[str, Any]]) -> str:
    """``docs/bayes.md``."""
    seeds = rows[0]["seeds"]
    head = ["rare share", "rows", *LOSSES, "weighted_ce - la"]
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for row in rows:
        cells = [f"{100 * row['rare']:g} %", str(row["rows"])]
        cells += [f"{row[k][0]:.3f} ± {row[k][1]:.3f}" for k in LOSSES]
        cells.append(f"{row['gap'][0]:.3f} ± {row['gap'][1]:.3f}")
        lines.append(" | ".join(cells))
    last = rows[-1]
    body = "\n".join(f"| {line} |" for line in lines)
    return f"""# Who reaches the least balanced error

Written by `python benchmarks/bayes.py`.

Two Gaussians in the plane, a rare class around (1, 1) and a common one around (-1, -1), unit
covariance (the example of Menon et al., ICLR 2021, section 6.1). The least balanced error is
{100 * BAYES:.3f} %, and a linear model can express it; the balanced error of a fitted boundary is
exact, not sampled. Every loss is minimised in full batches to the end.

Points of balanced error **above the least one**, mean and deviation over {seeds} samples; the last
column is the paired difference with its standard error.

{body}

- `la` reaches it: {last["la"][0]:.3f} points are left at {last["rows"]} rows, and less the more rows there
  are. Post-hoc adjustment of the `ce` model gives the same boundary here: with a free bias both
  are the maximum-likelihood model.
- `ldam` does not: its margins move the boundary by an amount that does not follow from the class
  shares, and more rows do not help. Nor does `ce`, which answers to the natural prior.
- `weighted_ce` comes near but pays for it: it is consistent too (the family of `la_pairwise` has both
  as ends), so that with a model that fits and with ever more rows it arrives as well. On a finite
  sample the few rare rows carry half of the weight, the estimate varies more, and its distance
  from the least error is {last["weighted_ce"][0] / last["la"][0]:.1f} times that of `la` in the last row. `la_pairwise` lies between.

`ldam` is used on the plain logits here with its largest margin at 1; on cosines it has a scale.
"""


def main() -> None:
    """Compute the table and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=40)
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    PAGE.write_text(page(table(seeds)), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
