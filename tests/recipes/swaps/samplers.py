"""Swaps of the recipes that are a sampler."""

from __future__ import annotations

IDENTITIES: dict[frozenset[str], str] = {}

AS_CE: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("class_aware", "effective_number_sampling", "repeat_factor", "prs"), ("sampler=instance",)
)

PIECES: list[tuple[str, str]] = [
    ("class_aware", "stages.0.sampler.k=1"),
    ("effective_number_sampling", "stages.0.sampler.beta=0.9"),
    ("repeat_factor", "stages.0.sampler.threshold=0.9"),
    ("prs", "stages.0.sampler.memory=0.05"),
    ("prs", "stages.0.sampler.rho=1.0"),
    ("ros", "stages.0.sampler.target=0.3"),
    ("rus", "stages.0.sampler.target=0.3"),
]
