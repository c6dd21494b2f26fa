"""Timing that bears a busy machine: process CPU time, one thread, candidates in turn, medians."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).resolve().parent / "results" / "speed"


def cpu_seconds(run: Callable[[], Any], least: float = 0.05) -> float:
    """CPU seconds of one call, from as many calls as take ``least`` seconds."""
    calls, begin = 0, time.process_time()
    while True:
        run()
        calls += 1
        took = time.process_time() - begin
        if took >= least:
            return took / calls


def ratios(
    candidates: Mapping[str, Callable[[], Any]], base: str, *, rounds: int = 9, least: float = 0.05
) -> dict[str, dict[str, float]]:
    """Median CPU seconds of each candidate and the median over rounds of its ratio to ``base``.

    Every round runs all candidates in turn, so that a slow moment meets them alike.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for run in candidates.values():
            run()
        taken = [{k: cpu_seconds(f, least) for k, f in candidates.items()} for _ in range(rounds)]
    finally:
        torch.set_num_threads(threads)
    return {
        name: {
            "seconds": statistics.median(t[name] for t in taken),
            "ratio": statistics.median(t[name] / t[base] for t in taken),
            "low": min(t[name] / t[base] for t in taken),
            "high": max(t[name] / t[base] for t in taken),
        }
        for name in candidates
    }


def save(topic: str, rows: list[dict[str, Any]], command: str) -> None:
    """Keep ``rows`` in ``benchmarks/results/speed/TOPIC.json`` with the conditions.

    A row holds ``what``, ``against`` (the named alternative), ``ratio``, ``goal`` (a bound in
    words, or empty) and further numbers.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    conditions = {
        "command": command,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}, one thread, "
        "process CPU time, medians",
    }
    text = json.dumps({"conditions": conditions, "rows": rows}, indent=1)
    (RESULTS / f"{topic}.json").write_text(text + "\n")
    show(rows)


def show(rows: list[dict[str, Any]]) -> None:
    """Print the rows of a table."""
    for row in rows:
        goal = f"  (goal: {row['goal']})" if row.get("goal") else ""
        print(f"{row['what']:44s} {row['ratio']:9.3g} x {row['against']}{goal}")
