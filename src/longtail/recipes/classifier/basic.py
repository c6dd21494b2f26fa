"""Module improvement: classifier design."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["tau_norm"]


@recipe(family="classifier", tier="core", reference="Kang et al., ICLR 2020")
def tau_norm(epochs: float = 200, tau: float = 1.0) -> Recipe:
    """One-stage training, then the classifier normalised: ``w_c <- w_c / |w_c|^tau``, no bias."""
    return Recipe(
        stages=(Stage(epochs),), adjusters=(part("tau_norm", tau=tau),), prior="approximate"
    )
