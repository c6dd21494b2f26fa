"""Module improvement: the fixed simplex classifier."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["etf"]


@recipe(family="classifier", tier="core", reference="Yang et al., NeurIPS 2022")
def etf(
    epochs: float = 200,
    normalise: bool = True,
    lengths: str = "none",
    reg: float = 0.0,
    scale: float = 16.0,
    mixup: float = 0.0,
) -> Recipe:
    """A fixed simplex of class directions, features drawn to them by dot-regression.

    ``normalise=False`` leaves features their length after BatchNorm (then ``reg=0.01`` is usual);
    ``lengths`` (``none``, ``batch``, ``counts``) gives rare classes longer directions; ``mixup`` is
    the alpha of mixed inputs (1 in the published figures, 0: none).
    """
    loss = part("dot_regression", scale=scale, lengths=lengths, reg=reg)
    mixed = (part("mixup", alpha=mixup),) if mixup else ()
    return Recipe(
        network=part("neck", normalise=normalise),
        head=part("etf", scale=scale),
        stages=(Stage(epochs, loss=loss, augment=mixed),),
        prior="approximate",
    )
