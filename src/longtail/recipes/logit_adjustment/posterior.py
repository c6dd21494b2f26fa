"""Class re-balancing: the posterior of a plain model, corrected after training."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["pc_softmax", "uno_ic"]


@recipe(
    family="logit_adjustment",
    tier="core",
    reference="Hong et al., CVPR 2021",
    details={
        "what": "Trains with plain cross-entropy and compensates afterwards: the log of the "
        "training prior is taken off the logits and that of a target prior added. Nothing is "
        "tuned, and the result is a probability under the target prior.",
        "formula": "z_c - log prior_c + log target_c",
        "use": "when the class mix of use is known (target=uniform, natural, a CSV of class,weight, "
        "or one weight a class), or when probabilities under it are wanted, not only decisions",
        "cost": "C numbers of state; nothing in training, nothing at prediction",
        "composes": "any recipe that trains with plain cross-entropy; --target-prior moves it "
        "further, from the target it already answers to",
        "avoid": "label smoothing and focal losses: their softmax is no posterior; with an "
        "over-confident network the full correction overshoots (la_posthoc and uno_ic tune it)",
    },
)
def pc_softmax(epochs: float = 200, target: str | tuple = "uniform") -> Recipe:  # type: ignore[type-arg]
    """Post-compensated softmax: ``z - log prior + log target`` for any target prior."""
    return Recipe(stages=(Stage(epochs),), adjusters=(part("prior_shift", target=target),))


@recipe(
    family="logit_adjustment",
    tier="core",
    reference="after Tian et al., NeurIPS 2020",
    needs=("validation",),
    details={
        "what": "Trains with plain cross-entropy and mixes two posteriors geometrically: that of "
        "the training prior and that of the target prior. The share beta of the second is the one "
        "under which the validation labels are most likely, each class weighing as in the target.",
        "formula": "q^(1 - beta) (q target / prior)^beta, normalised; q = softmax(z)",
        "use": "where the corrected model must give good probabilities: the likelihood sees the "
        "over-confidence of the network that a full correction would blow up",
        "cost": "one pass over the validation rows and one matrix product for 201 values of beta; "
        "C numbers of state",
        "composes": "any recipe whose softmax answers to the natural prior",
        "avoid": "anything that moved the prior already (re-sampling, class weights, la, balanced "
        "softmax): refused",
        "interpretation": "the publication tunes beta on validation data; the class-balanced "
        "likelihood as criterion, which tells it from la_posthoc, is this library's. The "
        "per-sample temperature for fusing sensors is left out.",
    },
)
def uno_ic(
    epochs: float = 200,
    beta: float | None = None,
    target: str | tuple = "uniform",  # type: ignore[type-arg]
) -> Recipe:
    """Posterior re-calibration: ``softmax(z - beta (log prior - log target))``, beta by likelihood."""
    spec = part("uno_ic", beta=beta, target=target)
    return Recipe(stages=(Stage(epochs),), adjusters=(spec,))
