"""Swaps of the closed-form losses of the cost-sensitive street."""

from __future__ import annotations

#: pairs that the specifications state to be one method: why
IDENTITIES: dict[frozenset[str], str] = {}

#: id -> settings that put plain cross-entropy in the place of its formula, all else kept
AS_CE: dict[str, tuple[str, ...]] = {
    "eql": ("loss=cross_entropy",),
    "seesaw": ("loss=cross_entropy",),
    "acsl": ("stages.1.loss=cross_entropy",),
    "vs": ("loss=cross_entropy",),
    "adrw_tla": ("loss=cross_entropy",),
    "elm": ("loss=cross_entropy",),
    "gcl": ("stages.0.loss=cross_entropy", "stages.1.loss=cross_entropy"),
    "kps": ("loss=cross_entropy",),
}

#: parts of a method made of two: each must matter on its own
PIECES: list[tuple[str, str]] = [
    ("eql", "stages.0.loss.gamma=0.0"),
    ("eql", "stages.0.loss.gamma=1.0"),
    ("eql", "form=sigmoid"),
    ("eql", "threshold=0.3"),
    ("seesaw", "stages.0.loss.p=0.0"),
    ("seesaw", "stages.0.loss.q=0.0"),
    ("seesaw", "counts=online"),
    ("seesaw", "floor=1.0"),
    ("acsl", "threshold=0.999"),
    ("acsl", "stages.1.trains=all"),
    ("vs", "gamma=0.0"),
    ("vs", "tau=0.0"),
    ("vs", "warm_up=0.5"),
    ("adrw_tla", "stages.0.loss.weight=uniform()"),
    ("adrw_tla", "stages.0.loss.truncate=1.0"),
    ("adrw_tla", "stages.0.loss.gamma=0.0"),
    ("elm", "strength=0.0"),
    ("elm", "margin=0.0"),
    ("gcl", "noise_level=0.0"),
    ("gcl", "margin=0.0"),
    ("gcl", "gamma=0.0"),
    ("gcl", "mixup=0.0"),
    ("gcl", "form=angular"),
    ("gcl", "stages.1.sampler=instance"),
    ("kps", "margin=0.0"),
    ("kps", "base=1000000000.0"),
    ("kps", "stages.0.loss.after=null"),
    ("cb", "base=sigmoid"),
    ("cb", "base=bce_on_softmax"),
    ("focal", "form=sigmoid"),
    ("focal", "detach_modulator=true"),
    ("focal", "beta=0.99"),
    ("drw", "resample=true"),
]
