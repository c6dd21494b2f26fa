"""Decoupled training: second stages that correct the logits of a frozen classifier."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, cacheable, recipe
from longtail.registry import PartSpec, part

__all__ = ["disalign", "marc"]

#: a first stage that leaves the head's correction at the identity
_PLAIN = "backbone,head.weight,head.bias"


def _generalised(power: float) -> PartSpec:
    weight = part("inverse_frequency", power=power)
    return part("cross_entropy", weight=weight, reduction="weighted_mean")


@recipe(
    family="decoupled",
    tier="core",
    reference="Zhang et al., CVPR 2021",
    details={
        "what": "A plain model is trained and frozen; then a magnitude and a margin for each class "
        "and a confidence for each sample are learned under re-weighted cross-entropy. The "
        "confidence says how far the correction of the logits is applied to the sample.",
        "formula": "z' = s (alpha z + beta) + (1 - s) z, s = sigmoid(v.h + v_0); loss of sample i "
        "w_y CE(z', y) with w_c ~ (1 / pi_c)^power of mean one, divided by the sum of the weights",
        "use": "When a trained model cannot be retrained, or when re-training the whole classifier "
        "over-fits the rare classes: only 2C + D + 1 numbers are learned.",
        "cost": "A second stage on frozen features; 2C + D + 1 parameters more at test.",
        "composes": "Any first stage that leaves a linear classifier; --from takes it from a "
        "checkpoint; power between 0 and 1.5 is worth a search on validation data.",
        "avoid": "Class-balanced sampling or balanced softmax in the second stage: with the weights "
        "they correct the class prior twice.",
    },
)
def disalign(
    epochs: float = 90,
    align: float = 10,
    power: float = 1.2,
    form: str = "paper",
    lr: float = 0.5,
    bn: str = "eval",
    cache: int | str | None = "auto",
) -> Recipe:
    """Distribution alignment: a frozen classifier's logits corrected by class and by confidence.

    ``power`` of the class weights is 1.2 as published for ImageNet-LT; ``form="code"`` learns the
    published code's parametrisation. ``lr`` is the second stage's factor on the rate: half of 0.1 a
    batch of 128 is the published 0.1 at a batch of 256.
    """
    second = Stage(
        align,
        name="align",
        loss=_generalised(power),
        trains="head.alpha,head.beta,head.confidence",
        lr=lr,
        bn=bn,
        cache=cacheable(cache, bn),
    )
    first = Stage(epochs, name="represent", trains=_PLAIN)
    return Recipe(head=part("disalign", form=form), stages=(first, second))


@recipe(
    family="decoupled",
    tier="core",
    reference="Wang et al., ACML 2022",
    details={
        "what": "A plain model is trained and frozen; then a factor and a margin for each class are "
        "learned under re-weighted cross-entropy. The margin is measured in lengths of the "
        "class's weight vector, so that it is a distance in feature space.",
        "formula": "z'_c = omega_c z_c + beta_c |w_c|; loss of sample i w_y CE(z', y) with "
        "w_c ~ (1 / pi_c)^power of mean one, divided by the sum of the weights",
        "use": "The cheapest second stage: 2C numbers, good where few samples of the rare classes "
        "would over-fit a re-trained classifier.",
        "cost": "A second stage on frozen features; 2C parameters more at test.",
        "composes": "Any first stage that leaves a linear classifier; --from takes it from a "
        "checkpoint.",
        "avoid": "Class-balanced sampling or balanced softmax in the second stage: with the weights "
        "they correct the class prior twice.",
        "interpretation": "The loss of the second stage and its power 1.2 are taken over from "
        "distribution alignment, to which the paper refers; no official code was at hand.",
    },
)
def marc(
    epochs: float = 90,
    calibrate: float = 10,
    power: float = 1.2,
    lr: float = 1.0,
    bn: str = "eval",
    cache: int | str | None = "auto",
) -> Recipe:
    """Margin calibration: a factor and a norm-sized margin a class on a frozen classifier."""
    second = Stage(
        calibrate,
        name="calibrate",
        loss=_generalised(power),
        trains="head.omega,head.beta",
        lr=lr,
        bn=bn,
        cache=cacheable(cache, bn),
    )
    first = Stage(epochs, name="represent", trains=_PLAIN)
    return Recipe(head=part("marc"), stages=(first, second))
