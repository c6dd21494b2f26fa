"""Class re-balancing: logit adjustment in training, beyond the plain loss."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["la_pairwise", "lade"]


@recipe(
    family="logit_adjustment",
    tier="core",
    reference="Hong et al., CVPR 2021",
    details={
        "what": "Balanced softmax with a regulariser that pulls each logit towards the log-density "
        "ratio of its class under a uniform prior. The logits are then free of the training prior, "
        "so that any target prior can be added at test.",
        "formula": "-log softmax(z + log prior)_y + alpha sum_c prior_c (S_c - T'_c + penalty "
        "S_c^2), T'_c = mean of z_c over rows of c, S_c = log mean_i (1/C) / prior(y_i) exp z_ic",
        "use": "when the class mix of use differs from the training one or changes: train once, "
        "then --target-prior",
        "cost": "a few passes over the logits; between ranks C numbers a step; no state",
        "composes": "augmentation, mixing, any backbone and head, target_prior; the loss of the "
        "stage may be another one",
        "avoid": "class-balanced sampling or class weights (the prior would be corrected twice), "
        "batches far smaller than the number of classes (most classes have no row in them), and "
        "--accumulate where a large batch is wanted: the regulariser sees micro-batches",
    },
)
def lade(
    epochs: float = 200, alpha: float = 0.1, penalty: float = 0.01, importance: str = "sample"
) -> Recipe:
    """Label distribution disentangling: balanced softmax and a regulariser of whole batches.

    ``importance="class"`` divides by the prior of the column, as the published code does, in place
    of the sample's own.
    """
    objective = part("lade", alpha=alpha, penalty=penalty, importance=importance)
    return Recipe(stages=(Stage(epochs, loss=part("balanced_softmax"), objective=objective),))


@recipe(
    family="logit_adjustment",
    tier="core",
    reference="Menon et al., ICLR 2021",
    details={
        "what": "The family that holds logit adjustment and weighted cross-entropy as its ends: "
        "class weights w ~ n^-power, and between each pair of classes the one margin that keeps "
        "the loss consistent for the balanced error. power = 0 is la, power = 1 weighted_ce.",
        "formula": "w_y log(1 + sum_{k != y} exp(z_k - z_y + log(w_k prior_k / (w_y prior_y))))",
        "use": "when la leaves rare classes with too small a gradient and weights alone do not "
        "move a network that fits its training data; delta takes margins of one's own",
        "cost": "that of cross-entropy; C numbers of state, C x C only for a matrix of one's own",
        "composes": "any backbone, head, augmentation, mixing, second stage, target_prior",
        "avoid": "class-balanced sampling beside it (the prior would be corrected twice); margins "
        "that are not consistent where the balanced error is what counts: see consistency_gap()",
        "interpretation": "the publication states the family and its consistency; the mixture of "
        "half weight and half margin as default is this library's",
    },
)
def la_pairwise(
    epochs: float = 200, power: float = 0.5, delta: str = "consistent", tau: float = 1.0
) -> Recipe:
    """General pairwise-margin loss: class weights ``n^-power`` and the margins that go with them.

    ``delta`` is ``consistent``, ``la``, ``ldam``, ``equalization`` or ``zero``; ``tau`` is the
    strength of ``la`` and ``equalization``.
    """
    weight = part("inverse_frequency", power=power)
    loss = part("la_pairwise", delta=delta, tau=tau, weight=weight, reduction="weighted_mean")
    return Recipe(stages=(Stage(epochs, loss=loss),))
