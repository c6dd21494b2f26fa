"""Draws of an epoch against torch's weighted sampler and the usual class-aware one.

``python benchmarks/speed_samplers.py [--large]``: 10^6 rows of 1000 classes with every rule and
10^7 rows; with ``--large`` 10^8 rows of 8142 classes too (3 GB).
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import WeightedRandomSampler

from longtail import create
from timing import cpu_seconds, ratios, save

RULES = (
    "class_balanced", "power", "square_root", "reversed", "effective_number", "progressive",
    "instance", "class_aware", "repeat_factor", "ros", "rus", "to_counts",
)  # fmt: skip
TEN_MILLION = ("class_balanced", "effective_number", "class_aware", "ros", "rus")
WEIGHTED, CYCLES = "WeightedRandomSampler", "class-aware by generators"


def long_tail(rows: int, classes: int, factor: float = 100.0) -> np.ndarray[Any, Any]:
    """``(rows,)`` labels, counts falling exponentially from the first class to the last."""
    share = factor ** (-np.arange(classes) / (classes - 1))
    counts = np.maximum(1, (share * (rows / share.sum())).astype(np.int64))
    counts[0] += rows - counts.sum()
    y = np.repeat(np.arange(classes, dtype=np.uint16), counts)
    np.random.default_rng(0).shuffle(y)
    return y


class Cycle:
    """A list gone through again and again, shuffled anew each time round."""

    def __init__(self, items: list[int], chance: random.Random) -> None:
        self.items, self.chance, self.at = items, chance, len(items)

    def next(self) -> int:
        """The next item."""
        if self.at == len(self.items):
            self.chance.shuffle(self.items)
            self.at = 0
        self.at += 1
        return self.items[self.at - 1]


class UsualClassAware:
    """Class-aware sampling as it is usually written: Python lists and a generator, row by row."""

    def __init__(self, labels: np.ndarray[Any, Any], k: int = 4) -> None:
        lists: list[list[int]] = [[] for _ in range(int(labels.max()) + 1)]
        for row, label in enumerate(labels.tolist()):
            lists[label].append(row)
        chance = random.Random(0)
        self.classes = Cycle(list(range(len(lists))), chance)
        self.rows, self.k, self.length = [Cycle(own, chance) for own in lists], k, len(labels)

    def __iter__(self) -> Iterator[int]:
        left = self.length
        while left > 0:
            own = self.rows[self.classes.next()]
            for _ in range(min(self.k, left)):
                yield own.next()
            left -= self.k


def compare(rows: int, classes: int, rules: tuple[str, ...], rounds: int) -> list[dict[str, Any]]:
    """Rows of the table for one size."""
    y = long_tail(rows, classes)
    weight = torch.from_numpy(1.0 / np.bincount(y)[y])
    weighted = WeightedRandomSampler(weight, rows)  # type: ignore[arg-type]
    usual = UsualClassAware(y)
    candidates: dict[str, Any] = {
        WEIGHTED: lambda: list(weighted),
        "multinomial": lambda: torch.multinomial(weight, rows, replacement=True),
        CYCLES: lambda: list(usual),
    }
    for rule in rules:
        sampler = create("sampler", rule, labels=y, num_classes=classes)
        sampler.epochs = 10
        candidates[rule] = lambda sampler=sampler: sampler.draw(1)
        if rule in ("class_balanced", "class_aware"):
            candidates[f"list({rule})"] = lambda sampler=sampler: list(sampler)
    found = ratios(candidates, WEIGHTED, rounds=rounds, least=0.2)
    size = f"10^{round(np.log10(rows))}"
    out = []
    for name in candidates:
        if name in (WEIGHTED, CYCLES):
            continue
        times = 1 / found[name]["ratio"]
        goal = {"class_balanced": ">= 30", "list(class_balanced)": ">= 4"}.get(name, "")
        row = {"what": f"{name}, {size} rows", "against": f"faster than {WEIGHTED}", "ratio": times}
        row |= {"goal": goal, "seconds": found[name]["seconds"]}
        row |= {"low": 1 / found[name]["high"], "high": 1 / found[name]["low"]}
        out.append(row)
    times = found[CYCLES]["seconds"] / found["class_aware"]["seconds"]
    out.append({
        "what": f"class_aware, {size} rows", "against": f"faster than {CYCLES}", "ratio": times,
        "goal": "", "seconds": found["class_aware"]["seconds"],
    })  # fmt: skip
    return out


def building(rows: int, classes: int) -> list[dict[str, Any]]:
    """Binding labels against a stable argsort of 64-bit labels."""
    y = long_tail(rows, classes)
    wide = y.astype(np.int64)
    found = ratios(
        {
            "argsort": lambda: np.argsort(wide, kind="stable"),
            "bind": lambda: create("sampler", "class_balanced", labels=y, num_classes=classes),
        },
        "argsort",
        rounds=3,
    )
    return [{
        "what": "binding 10^7 labels", "against": "faster than argsort of int64 labels",
        "ratio": 1 / found["bind"]["ratio"], "goal": "", "seconds": found["bind"]["seconds"],
    }]  # fmt: skip


def large() -> list[dict[str, Any]]:
    """10^8 rows of 8142 classes: seconds, and bytes a row beside labels and result."""
    rows, classes = 100_000_000, 8142
    y = long_tail(rows, classes, 500.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    sampler = create("sampler", "class_balanced", labels=y, num_classes=classes)
    bound = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    took = cpu_seconds(partial(sampler.draw, 1))
    seen = np.bincount(y[sampler.draw(1).numpy()], minlength=classes)
    assert np.abs(seen * classes / rows - 1).max() < 7 * np.sqrt(classes / rows)
    out = [{
        "what": "class_balanced, 10^8 rows of 8142 classes", "against": "seconds (no torch: limit 2^24)",
        "ratio": took, "goal": "seconds", "seconds": took, "bind_seconds": bound,
        "bytes_a_row": sampler.order.nbytes / rows, "bytes_a_row_at_the_peak_of_binding": peak * 1024 / rows,
    }]  # fmt: skip
    del sampler
    aware = create("sampler", "class_aware", labels=y, num_classes=classes)
    took = cpu_seconds(partial(aware.draw, 1))
    out.append({
        "what": "class_aware, 10^8 rows of 8142 classes", "against": "seconds (no torch: limit 2^24)",
        "ratio": took, "goal": "seconds", "seconds": took,
    })  # fmt: skip
    return out


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--large", action="store_true", help="10^8 rows too")
    options = parser.parse_args()
    found = large() if options.large else []
    found += compare(1_000_000, 1000, RULES, 7)
    found += compare(10_000_000, 1000, TEN_MILLION, 3)
    found += building(10_000_000, 1000)
    save("samplers", found, "python benchmarks/speed_samplers.py --large")


if __name__ == "__main__":
    main()
