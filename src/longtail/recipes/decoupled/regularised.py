"""Decoupled training: strong weight decay first, then a classifier held or smoothed."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["los", "weight_balancing"]

#: the published rate 0.01 at batches of 64, written so that backbones whose optimiser has a rate
#: of its own keep that one
_RATE = {"lr": 0.1, "batch": 640}


@recipe(
    family="decoupled",
    tier="core",
    reference="Alshammari et al., CVPR 2022",
    aliases=(),
    details={
        "what": "",
    },
)
def weight_balancing(
    epochs: float = 200,
    retrain: float = 10,
    decay: float = 25.0,
    head_decay: float = 500.0,
    share: float = 0.1,
    beta: float = 0.9999,
    lr: float = 1.0,
    bn: str = "eval",
) -> Recipe:
    """Weight balancing: tuned weight decay, then a re-trained classifier under a MaxNorm bound."""
    loss = part("bce_on_softmax", weight=part("effective_number", beta=beta))
    second = Stage(
        retrain, name="retrain", loss=loss, update=part("max_norm", share=share), trains="head",
        decay=head_decay, lr=lr, bn=bn,
    )  # fmt: skip
    return Recipe(stages=(Stage(epochs, name="represent", decay=decay), second), **_RATE)


@recipe(
    family="decoupled",
    tier="core",
    reference="Sun et al., ICLR 2025",
    details={"what": ""},
)
def los(
    epochs: float = 200,
    retrain: float = 20,
    smoothing: float = 0.98,
    decay: float = 25.0,
    lr: float = 0.05,
    bn: str = "eval",
) -> Recipe:
    """Label over-smoothing: a classifier re-trained on nearly uniform targets, no class counts."""
    second = Stage(
        retrain, name="retrain", loss=part("cross_entropy", label_smoothing=smoothing),
        trains="head", decay=0.0, lr=lr, bn=bn,
    )  # fmt: skip
    first = Stage(epochs, name="represent", decay=decay)
    return Recipe(stages=(first, second), prior="approximate", **_RATE)
