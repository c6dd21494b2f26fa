"""Module improvement: representation learning."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["hfl", "paco"]


@recipe(
    family="representation",
    tier="seed",
    reference="Cui et al., ICCV 2021",
    modalities=("image",),
    needs=("views",),
)
def paco(
    epochs: float = 400,
    alpha: float = 0.01,
    beta: float = 1.0,
    temperature: float = 0.2,
    queue: int = 1024,
    momentum: float = 0.999,
    width: int = 32,
) -> Recipe:
    """Parametric contrastive learning: class centres contrasted among the keys of a slow twin."""
    objective = part(
        "paco", alpha=alpha, beta=beta, temperature=temperature, queue=queue, momentum=momentum
    )
    stage = Stage(epochs, objective=objective, views=(None, part("strong")))
    return Recipe(
        stages=(stage,),
        projector=part("mlp_projector", out_features=width),
        lr=0.05,
        weight_decay=5e-4,
        prior="approximate",
    )


@recipe(family="representation", tier="seed", reference="after Ouyang et al., CVPR 2016")
def hfl(
    epochs: float = 160, nodes: float = 40, groups: int | None = None, lr: float = 0.1,
    max_per_class: int | None = None,
) -> Recipe:  # fmt: skip
    """Hierarchical features: a root model, then one fine-tuned model for each group of classes.

    Groups cluster the mean root features; prediction multiplies the root's probability of the
    group with the group model's probability of the class.
    """
    cap = () if max_per_class is None else (part("cap_per_class", limit=max_per_class),)
    root = Stage(epochs, name="root", before=cap)
    node = Stage(
        nodes, name="group", loss=part("balanced_softmax"), lr=lr,
        expand=part("grow_tree", groups=groups),
    )  # fmt: skip
    return Recipe(stages=(root, node), finish=(part("assemble_tree"),), prior="approximate")
