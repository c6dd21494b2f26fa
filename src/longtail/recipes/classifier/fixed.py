"""Module improvement: the fixed simplex classifier."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["etf"]


@recipe(
    family="classifier",
    tier="core",
    reference="Yang et al., NeurIPS 2022",
    details={
        "what": "Class directions are fixed before training at the vertices of a regular simplex, "
        "so that none can grow or drift towards another. Each feature is regressed onto its own "
        "direction, and no other class pushes it away.",
        "formula": "L = (m_y.h - |h|)^2 / (2 |h|) with |h| held fixed, m_c.m_d = -1/(C-1); after "
        "BatchNorm h is scaled to |h| = 1 (normalise), then L = (cos - 1)^2 / 2; lengths multiply "
        "L by mean(n)/n_y of the counts or of the batch; + reg |h|",
        "use": "many classes, strong imbalance, long training; lengths=counts lifts rare classes "
        "much further, mixup=1 is what the published figures used for long training",
        "cost": "less than a trained head; features are widened to C - 1 by a projection where the "
        "backbone gives fewer",
        "composes": "mixing, augmentations, samplers; any loss on cosines of the head's scale",
        "avoid": "tau_norm and second stages that train the head (there is nothing to train), logit "
        "adjustment (its logits answer to no known prior); lengths=batch on several ranks, where "
        "it sees a part of the batch",
    },
)
def etf(
    epochs: float = 200,
    normalise: bool = True,
    lengths: str = "none",
    reg: float = 0.0,
    scale: float | None = None,
    mixup: float = 0.0,
) -> Recipe:
    """A fixed simplex of class directions, features drawn to them by dot-regression.

    ``normalise=False`` leaves features their length after BatchNorm (then ``reg=0.01`` is usual);
    ``lengths`` (``none``, ``batch``, ``counts``) gives rare classes longer directions; ``mixup`` is
    the alpha of mixed inputs (1 in the published figures, 0: none). ``scale`` sizes the
    probabilities and changes nothing else (8, or 1 where features keep their length).
    """
    if scale is None:
        scale = 8.0 if normalise else 1.0
    loss = part("dot_regression", scale=scale, lengths=lengths, reg=reg)
    mixed = (part("mixup", alpha=mixup),) if mixup else ()
    return Recipe(
        network=part("neck", normalise=normalise),
        head=part("etf", scale=scale),
        stages=(Stage(epochs, loss=loss, augment=mixed),),
        prior="approximate",
    )
