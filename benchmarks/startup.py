"""How fast the verbs answer that need no torch, beside importing torch, in one run.

    python benchmarks/startup.py

Prints the median of processor and wall seconds of each, and the ratio to ``import torch``.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time

LIGHT = (["--help"], ["train", "--help"], ["list", "recipes"], ["explain", "ldam_drw"])
ROUNDS = 7


def once(line: list[str]) -> tuple[float, float]:
    """Processor and wall seconds of one process."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(line, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, time.perf_counter() - began


def main() -> None:
    lines = {"import torch": [sys.executable, "-c", "import torch"]}
    lines |= {"longtail " + " ".join(w): [sys.executable, "-m", "longtail", *w] for w in LIGHT}
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in lines}
    for _ in range(ROUNDS):
        for name, line in lines.items():
            took[name].append(once(line))
    base = statistics.median(t[0] for t in took["import torch"])
    for name, pairs in took.items():
        used, wall = (statistics.median(p[i] for p in pairs) for i in (0, 1))
        print(
            f"{name:28s} {used:.3f} s processor, {wall:.3f} s wall, {used / base:.2f} of import torch"
        )


if __name__ == "__main__":
    main()
