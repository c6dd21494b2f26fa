"""Module improvement: classifiers whose classes share a structure."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["gist", "rtc"]

#: all that the pretraining of ``gist`` trains: everything but the displacements
_PLAIN = "backbone,head.weight,head.random,head.log_scale,head.random_log_scale"


@recipe(
    family="classifier",
    tier="seed",
    reference="Wu et al., ECCV 2020",
    aliases=("deep_rtc",),
    details={
        "what": (
            "Deep-RTC: the classifier decides node by node of a taxonomy, trained so that every "
            "decision on the way to the label is right and that every tree cut from the taxonomy "
            "is right too. Where a decision is less confident than a threshold the prediction "
            "stops at that node, so a rare class is at least given its group."
        ),
        "formula": (
            "z_c = sum of o_n over the path to c, o = W h + b over all nodes; L = mean node "
            "cross-entropy along the path + strength (-z_v + log sum_{u in cut} e^{z_u}), the cut "
            "of each row drawn with inner nodes dropped at rate `drop`; at test the gate of node "
            "v is [max softmax(o_v) >= threshold]"
        ),
        "use": (
            "when the classes have a hierarchy (taxonomy=cifar100, or a file of 'parent child' "
            "lines or of one row a class) and a coarse answer is worth more than a wrong one; "
            "without one a tree is clustered from class means; threshold=0.7 (or --threshold of "
            "predict and evaluate) says when to stop"
        ),
        "cost": (
            "one row of weights for every inner node (at most twice the linear layer), a few "
            "passes over nodes x rows; without a taxonomy a fifth of the epochs goes to the plain "
            "first stage whose class means are clustered"
        ),
        "composes": "any sampler, batch mixing (mixup, cutmix), ema, sample weights, target priors",
        "avoid": (
            "losses of the stage (the objective has its own), adjusters that rescale head.weight "
            "(tau_norm: a class is the sum of its path), reset_head after the tree was planted"
        ),
        "interpretation": (
            "the published test scores all cuts under the gates; here the gates are read along "
            "the path of the plain top-1 class, so that node and class never contradict; the node "
            "loss is a mean over each row's path, published code pools rows and nodes; its rate of "
            "0.02 grows to 0.1 in five warm-up epochs, which is the rate here"
        ),
    },
)
def rtc(
    epochs: float = 160,
    first: float = 40,
    taxonomy: str | None = None,
    threshold: float = 0.0,
    drop: float = 0.1,
    strength: float = 1.0,
    branching: int = 4,
) -> Recipe:
    """Realistic taxonomic classifier: decide along a taxonomy, stop where not confident.

    ``taxonomy`` is ``cifar100``, a file, or nothing: then ``first`` epochs train a plain
    classifier, and its class means are clustered. With one the tree is planted at the start.
    """
    plant = part("plant_taxonomy", taxonomy=taxonomy, branching=branching)
    objective = part("taxonomic", drop=drop, strength=strength)
    if taxonomy is None:
        along = Stage(epochs, name="taxonomy", objective=objective, before=(plant,))
        stages: tuple[Stage, ...] = (Stage(first, name="plain"), along)
    else:
        stages = (Stage(first + epochs, name="taxonomy", objective=objective, before=(plant,)),)
    return Recipe(stages=stages, head=part("taxonomic", threshold=threshold), weight_decay=5e-4)


@recipe(
    family="classifier",
    tier="seed",
    reference="Liu et al., ICCV 2021",
    details={
        "what": (
            "GistNet: every class is a constellation, a centre with displacements that all classes "
            "share, and a row is as near to the class as to its nearest point. Rows as they come "
            "teach the displacements, mostly from common classes; balanced rows teach the centres "
            "that decide, so rare classes inherit the spread that they cannot show."
        ),
        "formula": (
            "z_j = tau max_s cos(h, w_j + d_s), s = 0..S, d_0 = 0; L = CE(z^r(h), y) + strength "
            "CE(z^c(h'), y') with centres w^r on rows as they come (they train d) and w^c on "
            "class-balanced rows (d detached); w^c decides at test"
        ),
        "use": "when common classes vary in ways that rare ones share; after or instead of cRT",
        "cost": (
            "two batches through the backbone a step (twice the rows), S + 1 cosines a class; two "
            "sets of centres in memory"
        ),
        "composes": "losses that take scaled cosines (set their scale to the head's), ema, views",
        "avoid": (
            "class-balanced sampling or prior-correcting losses on top (the second stream is "
            "balanced already), batch mixing (it would mix the first batch only), tau_norm"
        ),
        "interpretation": (
            "where points tie, as they do at d = 0, the first displaced point is taken; published "
            "pooling takes the centre, whose displacements never leave zero. The temperatures "
            "start at 16; published ones are drawn from a normal and may start negative"
        ),
    },
)
def gist(
    epochs: float = 60,
    pretrain: float = 60,
    displacements: int = 4,
    strength: float = 0.5,
    scale: float = 16.0,
) -> Recipe:
    """GistNet: class centres share displacements, learned from rows as they come.

    Stage 1 trains both sets of centres without displacements, stage 2 with them.
    """
    objective = part("constellation", strength=strength)
    return Recipe(
        stages=(
            Stage(pretrain, name="pretrain", objective=objective, trains=_PLAIN),
            Stage(epochs, name="transfer", objective=objective),
        ),
        head=part("constellation", displacements=displacements, scale=scale),
        weight_decay=5e-4,
        prior="approximate",
    )
