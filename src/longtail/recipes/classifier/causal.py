"""Module improvement: the causal classifier."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["tde"]


@recipe(family="classifier", tier="seed", reference="Tang et al., NeurIPS 2020")
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

    ``alpha=None`` chooses it on validation rows from 0, 0.25, ..., 4 (1.5 without such rows).
    """
    options = {} if alpha is None else {"alpha": alpha}
    return Recipe(
        head=part("tde", heads=heads, scale=scale, gamma=gamma, momentum=momentum, **options),
        stages=(Stage(epochs, objective=part("moving_head", by_rate=by_rate)),),
        finish=(part("choose_head"),) if alpha is None else (),
        prior="approximate",
    )
