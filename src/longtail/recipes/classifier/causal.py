"""Module improvement: the causal classifier."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["tde"]


@recipe(
    family="classifier",
    tier="seed",
    reference="Tang et al., NeurIPS 2020",
    details={
        "what": "While a multi-head cosine classifier trains, the moving mean of the features is "
        "followed: the direction in which everything looks like a common class. At test time what "
        "a feature owes to that direction is taken out (the direct effect remains).",
        "formula": "z_c = s/K sum_k <x_k, w_ck/(|w_ck| + gamma)>, x_k = h_k/|h_k|, at test less "
        "alpha cos(h_k, d_k) d_k/|d_k|; d <- momentum d + mean_batch h after each step",
        "use": "one-stage training where no second stage is wanted; alpha trades common against "
        "rare classes after training",
        "cost": "that of a cosine head; a vector of D numbers saved with the model; alpha=null "
        "tries 17 values on validation rows in a second",
        "composes": "augmentations and mixing; losses on logits of scale 16",
        "avoid": "class-balanced sampling, re-weighting and logit adjustment, which take the same "
        "favour out by other means; features that heads does not divide; a large alpha on few "
        "classes (published: 1.5 for CIFAR, 3 for ImageNet-LT and Places)",
    },
)
def tde(
    epochs: float = 200,
    heads: int = 2,
    scale: float = 16.0,
    gamma: float = 1 / 32,
    alpha: float | None = 1.5,
    momentum: float = 0.9,
    by_rate: bool = False,
) -> Recipe:
    """Causal classifier: what features owe to the moving mean direction is removed at test time.

    ``alpha=None`` (``--set alpha=null``) chooses it on validation rows from 0, 0.25, ..., 4 (1.5 without such rows).
    """
    options = {} if alpha is None else {"alpha": alpha}
    return Recipe(
        head=part("tde", heads=heads, scale=scale, gamma=gamma, momentum=momentum, **options),
        stages=(Stage(epochs, objective=part("moving_head", by_rate=by_rate)),),
        finish=(part("choose_head"),) if alpha is None else (),
        prior="approximate",
    )
