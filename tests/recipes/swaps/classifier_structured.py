"""Swaps of the classifiers with a structure."""

from __future__ import annotations

IDENTITIES: dict[frozenset[str], str] = {}

AS_CE: dict[str, tuple[str, ...]] = {
    "rtc": ("objective=supervised",),
    "gist": ("head=cosine(scale=16.0)", "objective=supervised", "stages.0.trains=all"),
}

PIECES: list[tuple[str, str]] = [
    ("rtc", "stages.1.objective.drop=0.0"),
    ("rtc", "stages.1.objective.strength=0.0"),
    ("rtc", "stages.1.before=[]"),
    ("gist", "stages.1.objective.strength=0.0"),
    (
        "gist",
        "stages.1.trains=backbone,head.weight,head.random,head.log_scale,head.random_log_scale",
    ),
]
