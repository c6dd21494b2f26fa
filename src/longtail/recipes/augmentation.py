"""Information augmentation: data augmentation."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["manifold_mixup", "mixup"]


@recipe(
    family="augmentation",
    tier="seed",
    reference="Zhang et al., ICLR 2018",
    modalities=("image",),
)
def mixup(epochs: float = 200, alpha: float = 1.0) -> Recipe:
    """Mixup: train on ``lam x + (1 - lam) x'`` with both labels, ``lam ~ Beta(alpha, alpha)``."""
    return Recipe(stages=(Stage(epochs, augment=(part("mixup", alpha=alpha),)),))


@recipe(
    family="augmentation",
    tier="core",
    reference="Verma et al., ICML 2019",
    needs=("cuts",),
)
def manifold_mixup(epochs: float = 200, alpha: float = 1.0, cut: str = "random") -> Recipe:
    """Mixup at a hidden cut of the network, drawn anew each step."""
    objective = part("manifold_mixup", alpha=alpha, cut=cut)
    return Recipe(stages=(Stage(epochs, objective=objective),))
