"""Swaps of methods whose weights or margins follow what the model shows."""

from __future__ import annotations

#: pairs that the specifications state to be one method: none
IDENTITIES: dict[frozenset[str], str] = {}

#: id -> settings that put plain cross-entropy in the place of its formula, all else kept
AS_CE: dict[str, tuple[str, ...]] = {
    "eqlv2": ("loss=cross_entropy",),
    "cdb": ("loss=cross_entropy",),
    "influence_balanced": ("loss=cross_entropy",),
    "area": ("loss=cross_entropy",),
    "uncertainty_margin": ("loss=cross_entropy", "objective=supervised"),
}

#: parts of a method made of several: each must matter on its own
PIECES: list[tuple[str, str]] = [
    ("eqlv2", "stages.0.loss.alpha=0.0"),
    ("eqlv2", "stages.0.loss.mu=-10.0"),
    ("eqlv2", "stages.0.loss.gamma=1.0"),
    ("cdb", "stages.0.loss.weight=uniform()"),
    ("cdb", "tau=dynamic_paper"),
    ("cdb", "inertia=0.0"),
    ("influence_balanced", "stages.0.loss.weight=uniform()"),
    (
        "influence_balanced",
        "stages.0.loss=cross_entropy(weight=deferred(inverse_frequency(), after=0.5))",
    ),
    ("influence_balanced", "stages.0.loss.gamma=1.0"),
    ("influence_balanced", "stages.0.loss.detach_weight=false"),
    ("area", "stages.0.loss.weight=uniform()"),
    ("area", "stages.0.loss.weight=deferred(inverse_frequency(), after=0.8)"),
    ("area", "batch=2"),
    ("area", "cap=true"),
    ("area", "start=0.2"),
    ("uncertainty_margin", "stages.0.loss.margin=0.0"),
    ("uncertainty_margin", "stages.0.loss.form=additive"),
    ("uncertainty_margin", "objective=supervised"),
    ("uncertainty_margin", "stages.0.objective.dropout=0.5"),
    ("uncertainty_margin", "stages.0.objective.passes=2"),
]
