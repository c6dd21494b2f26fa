"""Decoupled training: mixup, then label-aware smoothing of a scaled classifier."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, cacheable, recipe
from longtail.registry import part

__all__ = ["mislas"]


@recipe(
    family="decoupled",
    tier="core",
    reference="Zhong et al., CVPR 2021",
    aliases=("label_aware_smoothing", "shifted_bn"),
    presets={"shifted_bn": {"bn": "update_stats"}},
    modalities=("image", "table"),
    details={
        "what": "The network is trained with mixup, which calibrates it; then it is frozen, and the "
        "classifier and a scale a class are learned on class-balanced samples whose labels are "
        "smoothed the more the commoner the class. BatchNorm statistics may move to the balanced "
        "distribution meanwhile.",
        "formula": "stage 1: CE of mixed rows; stage 2: z_c = f_c (w_c . h + b_c), "
        "(1 - e_y) l_y + e_y mean_j l_j, l = -log softmax(z), "
        "e_c = eps_tail + (eps_head - eps_tail) sin(pi/2 (n_c - n_min) / (n_max - n_min))",
        "use": "When probabilities matter as much as accuracy: head classes are over-confident "
        "elsewhere.",
        "cost": "A twentieth more epochs on features that are computed once; C parameters more. With "
        "shifted BatchNorm (bn=update_stats) every step runs the network.",
        "composes": "Any first stage; published pairs of eps_head, eps_tail, bn, head_lr: CIFAR-10 "
        "0.3, 0.0, eval, 0.5; CIFAR-100 0.4, 0.1, update_stats, 0.2; ImageNet-LT and iNaturalist "
        "0.3, 0.0, update_stats, 0.05 with mixup alpha 0.2.",
        "avoid": "Mixup in the second stage; balanced softmax or class weights there, which correct "
        "the class prior a second time. Texts, whose tokens cannot be mixed.",
    },
)
def mislas(
    epochs: float = 200,
    retrain: float = 10,
    alpha: float = 1.0,
    eps_head: float = 0.3,
    eps_tail: float = 0.0,
    shape: str = "concave",
    spread: str = "all",
    head_lr: float = 0.5,
    per_class: int = 4,
    bn: str = "eval",
    cache: int | str | None = "auto",
) -> Recipe:
    """MiSLAS: mixup first, then label-aware smoothing on balanced classes, features frozen.

    ``bn="update_stats"`` is shifted BatchNorm; ``head_lr`` scales the rate of the classifier against
    that of the scales; ``spread="others"`` smooths as the paper writes, ``"all"`` as its code does.
    """
    first = Stage(
        epochs,
        name="represent",
        augment=(part("mixup", alpha=alpha),),
        trains="backbone,head.weight,head.bias",
    )
    loss = part(
        "label_aware_smoothing", eps_head=eps_head, eps_tail=eps_tail, shape=shape, spread=spread
    )
    second = Stage(
        retrain,
        name="retrain",
        sampler=part("class_aware", k=per_class),
        loss=loss,
        trains="head",
        lr_scale=(("head.weight", head_lr), ("head.bias", head_lr)),
        bn=bn,
        cache=cacheable(cache, bn),
    )
    return Recipe(head=part("lws"), stages=(first, second))
