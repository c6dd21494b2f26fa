"""Writes docs/speed.md from ``benchmarks/results/speed/*.json``: ``python benchmarks/speed_page.py``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "speed"
TITLES = {
    "samplers": "Samplers",
    "losses": "Losses",
    "stateful": "Losses that follow the model",
    "meta": "Learned weights",
    "stage2": "Second stage of decoupled training",
    "metrics": "Metrics",
    "posthoc": "Post-hoc rules",
    "rtc": "Taxonomic classifier",
}
HEAD = """# Speed

Every figure is a ratio of process CPU time (one thread, median over rounds, the candidates in turn)
to a named alternative in the same run: how much it costs, so below 1 is faster, or, where the
column `against` says "faster than", how many times faster it is. Read ratios, not seconds; a goal that
is missed stands beside its figure. This page is written by `python benchmarks/speed_page.py` from what the commands below leave.
"""


def section(title: str, found: dict[str, Any]) -> str:
    """One table."""
    about = found["conditions"]
    lines = [
        f"## {title}", "", f"`{about['command']}` (torch {about['torch']}, {about['machine']})", "",
        "| what | against | ratio | goal |", "|---|---|---|---|",
    ]  # fmt: skip
    for row in found["rows"]:
        ratio = row["ratio"]
        shown = f"{ratio:.2f}" if ratio >= 0.1 else f"1/{1 / ratio:,.0f}"
        lines.append(f"| {row['what']} | {row['against']} | {shown} | {row.get('goal') or '-'} |")
    return "\n".join([*lines, ""])


def main() -> None:
    text = [HEAD]
    for topic, title in TITLES.items():
        file = RESULTS / f"{topic}.json"
        if file.is_file():
            text.append(section(title, json.loads(file.read_text())))
    (ROOT / "docs" / "speed.md").write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")
    print("wrote docs/speed.md")


if __name__ == "__main__":
    main()
