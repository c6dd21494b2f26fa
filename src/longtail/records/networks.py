"""Records of kind `networks`."""

import longtail.records.networks_neck  # noqa: F401
from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "single",
        "network",
        "one backbone, one head",
        "longtail.models.build:single",
    ),
    Record(
        "experts",
        "network",
        "experts with own tails and heads on a shared stem; logits are their mean",
        "longtail.models.build:experts",
        reference="after Wang et al., ICLR 2021",
        needs=("cuts",),
    ),
    Record(
        "two_branch",
        "network",
        "two last blocks on a shared trunk, one head on both features",
        "longtail.models.build:two_branch",
        reference="Zhou et al., CVPR 2020",
        needs=("cuts",),
    ),
    Record(
        "tree",
        "network",
        "a root that decides between groups of classes, leaves that decide within",
        "longtail.models.build:tree",
        reference="after Ouyang et al., CVPR 2016",
        case={"groups": ((0, 1), (2,))},
    ),
)
