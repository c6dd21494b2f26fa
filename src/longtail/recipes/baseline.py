"""What every method is compared with."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe

__all__ = ["ce"]


@recipe(family="baseline", tier="seed", reference="maximum likelihood")
def ce(epochs: float = 200) -> Recipe:
    """Plain cross-entropy on instance-balanced sampling.

    ``L = mean_i (lse(z_i) - z_i[y_i])``; its softmax answers to the natural prior.
    """
    return Recipe(stages=(Stage(epochs),))
