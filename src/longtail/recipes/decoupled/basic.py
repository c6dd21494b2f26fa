"""Module improvement: decoupled training."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["crt"]


@recipe(
    family="decoupled", tier="seed", reference="Kang et al., ICLR 2020", aliases=("decouple_crt",)
)
def crt(
    epochs: float = 90,
    retrain: float = 10,
    per_class: int = 4,
    bn: str = "eval",
    cache: int | None = 0,
) -> Recipe:
    """Classifier re-training: learn features plainly, then a fresh head on balanced classes.

    Stage 2 freezes the network, draws the head anew and samples classes in turn (``per_class``
    rows each). ``bn="update_stats"`` lets the frozen statistics drift as published code does.
    """
    second = Stage(
        retrain,
        name="retrain",
        sampler=part("class_aware", k=per_class),
        trains="head",
        bn=bn,
        cache=cache if bn == "eval" else None,
        before=(part("reset_head"),),
    )
    return Recipe(stages=(Stage(epochs, name="represent"), second))
