"""Swaps of the logit-adjustment street."""

from __future__ import annotations

#: pairs that the specifications state to be one method: why
IDENTITIES: dict[frozenset[str], str] = {}

#: id -> settings that put plain cross-entropy in the place of its formula, all else kept
AS_CE: dict[str, tuple[str, ...]] = {
    "pc_softmax": ("adjusters=[]",),
    "uno_ic": ("adjusters=[]",),
    "lade": ("objective=supervised", "loss=cross_entropy"),
    "la_pairwise": ("loss=cross_entropy",),
}

#: parts of a method made of two: each must matter on its own
PIECES: list[tuple[str, str]] = [
    ("pc_softmax", "target=natural"),
    ("uno_ic", "beta=0.0"),
    ("uno_ic", "target=natural"),
    ("lade", "stages.0.objective.alpha=0.0"),
    ("lade", "stages.0.objective.penalty=0.0"),
    ("lade", "stages.0.objective.importance=class"),
    ("lade", "stages.0.loss=cross_entropy"),
    ("la_pairwise", "stages.0.loss.delta=zero"),
    ("la_pairwise", "stages.0.loss.weight=uniform()"),
    ("la_pairwise", "power=0.0"),
    ("la_pairwise", "power=1.0"),
]
