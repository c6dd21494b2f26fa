"""Module improvement: ensembles."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["bbn", "sade"]


@recipe(family="ensembles", tier="seed", reference="Zhou et al., CVPR 2020")
def bbn(epochs: float = 200) -> Recipe:
    """Bilateral-branch network: from the uniform to the reversed stream, epoch by epoch."""
    return Recipe(
        network=part("two_branch"),
        stages=(Stage(epochs, objective=part("bilateral")),),
        prior="approximate",
    )


@recipe(family="ensembles", tier="seed", reference="Zhang et al., NeurIPS 2022")
def sade(epochs: float = 200, tau: float = 2.0, scale: float = 30.0, cut: str = "layer1") -> Recipe:
    """Three experts for forward, uniform and backward test priors; mean of their logits.

    ``longtail evaluate RUN --adapt`` weighs the experts on the unlabelled test rows.
    """
    return Recipe(
        network=part("experts", count=3, cut=cut),
        head=part("cosine", scale=scale),
        stages=(Stage(epochs, objective=part("diverse_experts", tau=tau)),),
        weight_decay=5e-4,
        prior="approximate",
    )
