"""Class re-balancing: logit adjustment."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["balanced_softmax", "la", "la_posthoc"]


@recipe(
    family="logit_adjustment",
    tier="seed",
    reference="Menon et al., ICLR 2021",
    aliases=("la_loss",),
    details={
        "what": "Adds tau times the log of the training prior to the logits inside the loss, so "
        "that a rare class must win by a larger margin. At test the plain logits are used, which "
        "at tau = 1 answer to the uniform prior and so to the balanced error.",
        "formula": "-log softmax(z + tau log prior)_y",
        "use": "the first thing to try when every class counts alike: one stage, no extra data, "
        "consistent for the balanced error at tau = 1",
        "cost": "that of cross-entropy: C additions a row, C numbers of state",
        "composes": "any backbone, head, augmentation, mixing, second stage; target_prior moves the "
        "trained model on to any other class mix",
        "avoid": "class-balanced sampling, class weights or la_posthoc beside it: the prior would "
        "be corrected twice, which is refused unless allow_double=true",
    },
)
def la(epochs: float = 200, tau: float = 1.0) -> Recipe:
    """Logit-adjusted training loss: cross-entropy on ``z + tau log pi``.

    With ``tau = 1`` it is balanced softmax up to a constant.
    """
    return Recipe(stages=(Stage(epochs, loss=part("la", tau=tau)),))


@recipe(
    family="logit_adjustment",
    tier="seed",
    reference="Menon et al., ICLR 2021",
    aliases=("logit_adjustment",),
    needs=("validation",),
    details={
        "what": "Trains with plain cross-entropy and afterwards subtracts tau times the log of the "
        "training prior from the logits. tau is chosen on validation rows by the balanced accuracy "
        "of all 21 values 0, 0.1, ..., 2 at once, in seconds.",
        "formula": "argmax_c z_c - tau log prior_c",
        "use": "on a model that is already trained, or where training is dear: the cheapest "
        "correction there is, and the baseline of every other",
        "cost": "one pass over the validation rows; C numbers of state; nothing at prediction",
        "composes": "any recipe whose softmax answers to the natural prior: plain cross-entropy, "
        "mixup, augmentation, a pre-trained backbone",
        "avoid": "anything that moved the prior already (re-sampling, class weights, la, balanced "
        "softmax): refused; tau other than 1 is a decision rule, its softmax no probability under "
        "any stated prior",
    },
)
def la_posthoc(epochs: float = 200, tau: float | None = None) -> Recipe:
    """Post-hoc logit adjustment ``z - tau log pi`` of a plain model, tau chosen on validation."""
    return Recipe(stages=(Stage(epochs),), adjusters=(part("la_posthoc", tau=tau),))


@recipe(
    family="logit_adjustment",
    tier="core",
    reference="Ren et al., NeurIPS 2020",
    details={
        "what": "Cross-entropy whose softmax counts every class as often as the training data "
        "show it. The plain softmax of the trained model then answers to the uniform prior.",
        "formula": "-log softmax(z + log n)_y",
        "use": "as la at tau = 1, of which it is the form without a hyper-parameter",
        "cost": "that of cross-entropy: C additions a row, C numbers of state",
        "composes": "any backbone, head, augmentation, mixing, second stage; target_prior moves the "
        "trained model on to any other class mix",
        "avoid": "class-balanced sampling or class weights beside it: the prior would be corrected "
        "twice, which is refused unless allow_double=true",
    },
)
def balanced_softmax(epochs: float = 200) -> Recipe:
    """Balanced softmax: cross-entropy on ``z + log n``; plain argmax at test."""
    return Recipe(stages=(Stage(epochs, loss=part("balanced_softmax")),))
