"""Decoupled training: strong weight decay first, then a classifier held or smoothed."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, cacheable, recipe
from longtail.registry import part

__all__ = ["los", "weight_balancing"]

#: the published rate, 0.01 at batches of 64, is 0.1 at batches of 640; written so, a backbone whose
#: optimiser has a rate of its own keeps it
_BATCH = 640


@recipe(
    family="decoupled",
    tier="core",
    reference="Alshammari et al., CVPR 2022",
    details={
        "what": "The network is trained with a weight decay far above the usual, which keeps the "
        "classifier's weight vectors equally long. Then the classifier alone is trained on "
        "re-weighted rows with even more decay, and vectors that grow too long are cut after every "
        "step.",
        "formula": "stage 2: w_y / C (-log p_y - sum_{j != y} log(1 - p_j)) with "
        "w_c ~ (1 - beta) / (1 - beta^n_c), then w_c <- w_c min(1, t / |w_c|), "
        "t = min |w| + share (max |w| - min |w|), measured when the stage begins",
        "use": "A strong simple baseline for training from scratch; decay is the number to tune, on "
        "validation data.",
        "cost": "A twentieth more epochs on features that are computed once; the first stage wants "
        "many epochs, since strong decay slows it.",
        "composes": "stages.1.loss with another re-weighted loss; ema.",
        "avoid": "Cosine classifiers, whose weights have no length; class-balanced sampling in the "
        "second stage, which corrects the prior a second time.",
        "interpretation": "decay and head_decay are factors on the usual weight decay: 25 and 500 "
        "are the published 0.005 and 0.1 under SGD. Backbones trained by AdamW decay by the same "
        "factors.",
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
    cache: int | str | None = "auto",
) -> Recipe:
    """Weight balancing: tuned weight decay, then a re-trained classifier under a MaxNorm bound."""
    second = Stage(
        retrain,
        name="retrain",
        loss=part("bce_on_softmax", weight=part("effective_number", beta=beta)),
        update=part("max_norm", share=share),
        trains="head",
        decay=head_decay,
        lr=lr,
        bn=bn,
        cache=cacheable(cache, bn),
    )
    first = Stage(epochs, name="represent", decay=decay)
    return Recipe(stages=(first, second), lr=0.1, batch=_BATCH)


@recipe(
    family="decoupled",
    tier="core",
    reference="Sun et al., ICLR 2025",
    details={
        "what": "The network is trained with strong weight decay; then its classifier goes on with "
        "targets smoothed until they are nearly uniform. No class count is used: common classes, "
        "whose logits are too large, are pulled down most.",
        "formula": "stage 2: (1 - smoothing) (-log p_y) + smoothing mean_j (-log p_j), no weight "
        "decay",
        "use": "When class counts are unknown or not to be trusted, and accuracy is what counts.",
        "cost": "A tenth more epochs on features that are computed once.",
        "composes": "Any first stage that leaves a linear classifier; --from takes it from a "
        "checkpoint. lr of the second stage is the number to tune: too much of it and common "
        "classes are lost.",
        "avoid": "Reading its probabilities (they are nearly uniform; calibrate afterwards), and "
        "class-balanced sampling or weights in the second stage.",
        "interpretation": "The second stage steps with SGD on every backbone, as published, at a tenth of "
        "the first stage's rate; the published twentieth (lr=0.05) moves too little in few epochs.",
    },
)
def los(
    epochs: float = 200,
    retrain: float = 20,
    smoothing: float = 0.98,
    decay: float = 25.0,
    lr: float = 0.1,
    bn: str = "eval",
    cache: int | str | None = "auto",
) -> Recipe:
    """Label over-smoothing: a classifier re-trained on nearly uniform targets, no class counts."""
    second = Stage(
        retrain,
        name="retrain",
        loss=part("cross_entropy", label_smoothing=smoothing),
        optimizer=part("sgd"),
        trains="head",
        lr=lr,
        bn=bn,
        cache=cacheable(cache, bn),
    )
    first = Stage(epochs, name="represent", decay=decay)
    return Recipe(stages=(first, second), prior="approximate", lr=0.1, batch=_BATCH)
