"""Swaps of the second stages of decoupled training."""

from __future__ import annotations

#: pairs that the specifications state to be one method: why
IDENTITIES: dict[frozenset[str], str] = {
    frozenset({"tau_norm", "decoupled_tau"}): (
        "one formula (the rebalancing specification 5.2 and 6.1): tau is 1 in one and chosen on "
        "validation data in the other, and on these rows 1 is chosen"
    ),
    frozenset({"ncm", "decoupled_ncm"}): (
        "one formula (the rebalancing specification 5.4 and 6.1): features are centred and scaled "
        "in one, the other chooses on validation data, and on these rows chooses the same"
    ),
}

#: id -> settings that put plain cross-entropy in the place of its formula, all else kept
AS_CE: dict[str, tuple[str, ...]] = {
    "decoupled_lws": ("stages.1.sampler=instance",),
    "decoupled_tau": ("adjusters=[]",),
    "decoupled_ncm": (
        "head=linear",
        "finish=[]",
    ),
    "mislas": ("stages.1.loss=cross_entropy",),
    "disalign": ("stages.1.loss=cross_entropy",),
    "marc": ("stages.1.loss=cross_entropy",),
    "weight_balancing": ("stages.1.loss=cross_entropy",),
    "los": ("stages.1.loss=cross_entropy",),
}

#: parts of a method made of two: each must matter on its own
PIECES: list[tuple[str, str]] = [
    ("decoupled_lws", "stages.1.trains=head"),
    ("decoupled_lws", "form=weight"),
    ("decoupled_ncm", "normalise=none"),
    ("decoupled_ncm", "distance=dot"),
    ("decoupled_tau", "tau=0.5"),
    ("mislas", "stages.0.augment=[]"),
    ("mislas", "stages.1.sampler=instance"),
    ("mislas", "bn=update_stats"),
    ("mislas", "spread=others"),
    ("mislas", "shape=convex"),
    ("mislas", "head_lr=0.1"),
    ("disalign", "power=0.0"),
    ("disalign", "stages.1.trains=head.alpha,head.beta"),
    ("marc", "power=0.0"),
    ("marc", "stages.1.trains=head.omega"),
    ("marc", "stages.1.trains=head.beta"),
    ("weight_balancing", "stages.1.update=plain"),
    ("weight_balancing", "decay=1.0"),
    ("weight_balancing", "head_decay=1.0"),
    ("weight_balancing", "beta=0.0"),
    ("los", "smoothing=0.9"),
    ("los", "decay=1.0"),
    ("los", "stages.1.optimizer=adamw"),
]
