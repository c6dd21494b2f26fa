"""Information augmentation: transfer learning."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["pseudo_label"]


@recipe(
    family="transfer", tier="seed", reference="Yang and Xu, NeurIPS 2020", needs=("unlabelled",)
)
def pseudo_label(epochs: float = 100, retrain: float = 100, threshold: float = 0.0) -> Recipe:
    """Self-training: label the unlabelled rows by a first model, train anew on the union."""
    second = Stage(
        retrain,
        name="student",
        before=(part("pseudo_labels", threshold=threshold), part("fresh_model")),
    )
    return Recipe(stages=(Stage(epochs, name="teacher"), second))
