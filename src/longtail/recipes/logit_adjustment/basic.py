"""Class re-balancing: logit adjustment."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["balanced_softmax", "la", "la_posthoc"]


@recipe(
    family="logit_adjustment",
    tier="seed",
    reference="Menon et al., ICLR 2021",
    aliases=("la_loss",),
)
def la(epochs: float = 200, tau: float = 1.0) -> Recipe:
    """Logit-adjusted training loss: cross-entropy on ``z + tau log pi``.

    With ``tau = 1`` it is balanced softmax up to a constant.
    """
    return Recipe(stages=(Stage(epochs, loss=part("la", tau=tau)),))


@recipe(
    family="logit_adjustment",
    tier="seed",
    reference="Menon et al., ICLR 2021",
    aliases=("logit_adjustment",),
    needs=("validation",),
)
def la_posthoc(epochs: float = 200, tau: float | None = None) -> Recipe:
    """Post-hoc logit adjustment ``z - tau log pi`` of a plain model, tau chosen on validation."""
    return Recipe(stages=(Stage(epochs),), adjusters=(part("la_posthoc", tau=tau),))


@recipe(family="logit_adjustment", tier="core", reference="Ren et al., NeurIPS 2020")
def balanced_softmax(epochs: float = 200) -> Recipe:
    """Balanced softmax: cross-entropy on ``z + log n``; plain argmax at test."""
    return Recipe(stages=(Stage(epochs, loss=part("balanced_softmax")),))
