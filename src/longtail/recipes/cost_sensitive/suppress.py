"""Losses that spare rare classes the negative gradients of frequent ones."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["acsl", "eql", "seesaw"]


@recipe(
    family="cost_sensitive",
    tier="core",
    reference="Tan et al., CVPR 2020",
    aliases=("seql",),
    details={
        "what": "Every sample of a frequent class pushes the scores of all rare classes down. "
        "Equalization leaves rare classes out of the loss, at random, wherever they are not "
        "the label.",
        "formula": "log sum_j w_j exp z_j - z_y, w_j = 1 - b 1[prior_j < threshold] 1[j != y], "
        "b ~ Bernoulli(gamma) for each row and class; form=sigmoid: sum_j w_j BCE(z_j, 1[j = y])",
        "use": "many rare classes that are never predicted; a milder correction than logit "
        "adjustment, and the sigmoid form for one-vs-rest classifiers",
        "cost": "one random number a row and class; no state",
        "composes": "any sampler, mixing and second stage; class weights",
        "avoid": "logit adjustment or class-balanced sampling beside it (rare classes are then "
        "favoured twice); probabilities are not calibrated",
    },
)
def eql(
    epochs: float = 200,
    threshold: float | None = None,
    gamma: float = 0.9,
    form: str = "softmax",
) -> Recipe:
    """Equalization loss: rare classes that are not the label leave the denominator at random.

    ``threshold`` is the share of the training data under which a class is rare; ``None`` is half
    an even share. The published sigmoid form has ``form="sigmoid"``, ``gamma=1.0``.
    """
    loss = part("eql", threshold=threshold, gamma=gamma, form=form)
    return Recipe(stages=(Stage(epochs, loss=loss),))


@recipe(
    family="cost_sensitive",
    tier="core",
    reference="Wang et al., CVPR 2021",
    details={
        "what": "Scales the push that each sample gives to every other class: less for classes "
        "rarer than its own, more for classes that are just now mistaken for it. Both factors "
        "go into the softmax as constants added to the logits.",
        "formula": "-log softmax(z + log S_y)_y, S_yj = min(1, N_j / N_y)^p "
        "max(1, p_j / max(p_y, floor))^q for j != y, S_yy = 1, no gradient through S",
        "use": "many classes with strong imbalance where accuracy on frequent ones must hold; "
        "counts=online when the training counts are not known beforehand",
        "cost": "about twice plain cross-entropy in time, O(B C) memory; counts=online keeps one "
        "number a class; soft targets (not mixed labels) cost C times as much",
        "composes": "any sampler, mixing, class weights and second stage",
        "avoid": "logit adjustment, balanced softmax or a class-balanced sampler beside it: the "
        "mitigation factor corrects the prior already",
    },
)
def seesaw(
    epochs: float = 200,
    p: float = 0.8,
    q: float = 2.0,
    floor: float = 0.01,
    counts: str = "preset",
) -> Recipe:
    """Seesaw loss: mitigates the punishment of rarer classes, compensates for mistaken ones.

    ``counts="online"`` counts the labels met in training instead of taking the training counts.
    """
    loss = part("seesaw", p=p, q=q, floor=floor, counts=counts)
    return Recipe(stages=(Stage(epochs, loss=loss),))


@recipe(
    family="cost_sensitive",
    tier="extended",
    reference="Wang et al., CVPR 2021",
    details={
        "what": "Learns features plainly, then tunes the classifier with one-vs-rest losses in "
        "which a class that is not the label counts only where it is confident. Rare classes, "
        "seldom confident, are no longer pushed down, without looking at class counts.",
        "formula": "stage 2: sum_j w_j BCE(z_j, 1[j = y]), "
        "w_j = 1 if j = y or sigmoid(z_j) >= threshold, else 0",
        "use": "class counts unknown or misleading; a classifier of independent scores",
        "cost": "two stages; the second trains the classifier alone, on cached features where "
        "views allow; no state",
        "composes": "any first stage, backbone, sampler and class weights",
        "avoid": "reading its softmax as probabilities: the scores are one-vs-rest; very short "
        "second stages (few classes are confident at first)",
        "interpretation": "the published loss is for detection, where it tunes the classifier of "
        "a trained detector for as long again; the rule for background is left out",
    },
)
def acsl(epochs: float = 90, tune: float = 90, threshold: float = 0.7, bn: str = "eval") -> Recipe:
    """Adaptive class suppression: the classifier is tuned one-vs-rest, confident classes only.

    Stage 2 freezes the network and goes on from the classifier of stage 1.
    """
    second = Stage(
        tune,
        name="tune",
        loss=part("acsl", threshold=threshold),
        trains="head",
        bn=bn,
    )
    return Recipe(stages=(Stage(epochs, name="represent"), second))
