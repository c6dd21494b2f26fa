"""Swaps of the first recipes."""

from __future__ import annotations

#: pairs that the specifications state to be one method: why
IDENTITIES = {
    frozenset({"balanced_softmax", "la"}): (
        "with tau = 1 logit adjustment is balanced softmax up to a constant, which the softmax "
        "does not see (Menon et al., section 5; the rebalancing specification 4.2)"
    ),
}

#: id -> settings that put plain cross-entropy in the place of its formula, all else kept
AS_CE: dict[str, tuple[str, ...]] = {
    "weighted_ce": ("loss=cross_entropy",),
    "cb": ("loss=cross_entropy",),
    "focal": ("loss=cross_entropy",),
    "drw": ("loss=cross_entropy",),
    "ldam": ("loss=cross_entropy",),
    "ldam_drw": ("loss=cross_entropy",),
    "balanced_softmax": ("loss=cross_entropy",),
    "la": ("loss=cross_entropy",),
    "ros": ("sampler=instance",),
    "rus": ("sampler=instance",),
    "class_balanced": ("sampler=instance",),
    "square_root": ("sampler=instance",),
    "progressive": ("sampler=instance",),
    "mixup": ("augment=[]",),
    "manifold_mixup": ("objective=supervised",),
    "meta_weight_net": ("objective=supervised",),
    "bbn": ("objective=supervised",),
    "sade": ("objective=supervised",),
    "paco": ("objective=supervised",),
    "la_posthoc": ("adjusters=[]",),
    "tau_norm": ("adjusters=[]",),
    "crt": ("stages.1.sampler=instance",),
    "pseudo_label": ("stages.1.before=[fresh_model]",),
    "hfl": ("stages.1.loss=cross_entropy", "stages.1.expand=null", "finish=[]"),
}

#: parts of a method made of two: each must matter on its own
PIECES: list[tuple[str, str]] = [
    ("ldam_drw", "stages.0.loss.weight=uniform()"),
    ("ldam_drw", "stages.0.loss.margin=0.0"),
    ("ldam", "stages.0.loss.margin=0.0"),
    ("drw", "stages.0.loss.weight=uniform()"),
    ("crt", "stages.1.before=[]"),
    ("crt", "stages.1.trains=head.bias"),
    ("hfl", "stages.1.loss=cross_entropy"),
    ("pseudo_label", "stages.1.before=[pseudo_labels(threshold=0.0)]"),
    ("sade", "stages.0.objective.tau=0.0"),
    ("paco", "stages.0.objective.alpha=0.0"),
    ("paco", "stages.0.objective.momentum=0.0"),
    ("paco", "stages.0.objective.queue=1"),
    ("focal", "stages.0.loss.gamma=0.0"),
    ("mixup", "augment=[mixup(alpha=0.0)]"),
    ("manifold_mixup", "stages.0.objective.alpha=0.0"),
    ("meta_weight_net", "stages.0.objective.virtual=head"),
]
