"""Swaps of the sampling schemes with streams, clusters, a curriculum or learned rates."""

from __future__ import annotations

IDENTITIES: dict[frozenset[str], str] = {}

AS_CE: dict[str, tuple[str, ...]] = {
    "bilateral": ("sampler=instance",),
    "quintuplet": ("sampler=instance", "objective=supervised"),
    "dcl": ("sampler=instance", "objective=supervised"),
    "meta_sampler": (
        "stages.1.sampler=instance",
        "stages.1.loss=cross_entropy",
        "stages.1.objective=supervised",
    ),
}

PIECES: list[tuple[str, str]] = [
    ("bilateral", "uniform=rows"),
    ("quintuplet", "sampler=instance"),
    ("quintuplet", "objective=supervised"),
    ("quintuplet", "stages.0.objective.share=0.0"),
    ("quintuplet", "size=3"),
    ("dcl", "sampler=instance"),
    ("dcl", "objective=supervised"),
    ("dcl", "stages.0.objective.select=false"),
    ("dcl", "stages.0.objective.until=0.0"),
    ("dcl", "stages.0.sampler.schedule=linear"),
    ("meta_sampler", "stages.1.loss=cross_entropy"),
    ("meta_sampler", "stages.1.objective.power=1.0"),
    ("meta_sampler", "stages.1.before=[]"),
]
