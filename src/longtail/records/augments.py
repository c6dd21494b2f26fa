"""Records of kind `augments`: transforms of views (tag `view`) and of whole batches (`mix`)."""

from longtail.registry import Record, part, register

__all__: list[str] = []

register(
    Record(
        "identity",
        "augment",
        "leave the view as it is",
        "longtail.augment.views:Identity",
        family="view",
        tags=("view",),
    ),
    Record(
        "shift",
        "augment",
        "shift by whole pixels, zeros moving in",
        "longtail.augment.views:Shift",
        family="view",
        modalities=("image",),
        tags=("view",),
    ),
    Record(
        "flip",
        "augment",
        "mirror left and right with probability 1/2",
        "longtail.augment.views:Flip",
        family="view",
        modalities=("image",),
        tags=("view",),
    ),
    Record(
        "crop_flip",
        "augment",
        "pad by zeros, crop, and mirror: the standard of the CIFAR papers",
        "longtail.augment.views:CropFlip",
        family="view",
        modalities=("image",),
        tags=("view",),
    ),
    Record(
        "strong",
        "augment",
        "shift, colour jitter and random erasing; one or three channels",
        "longtail.augment.strong:Strong",
        family="view",
        modalities=("image",),
        tags=("view",),
    ),
    Record(
        "chain",
        "augment",
        "several view transforms, one after the other",
        "longtail.augment.views:Chain",
        family="view",
        modalities=("image",),
        case={"inner": (part("shift"), part("flip"))},
        tags=("view",),
    ),
    Record(
        "mixup",
        "augment",
        "mix rows and labels of a batch: x' = lam x + (1 - lam) x[perm]",
        "longtail.augment.mix:Mixup",
        family="mix",
        reference="Zhang et al., ICLR 2018",
        modalities=("image",),
        tags=("mix",),
    ),
)
