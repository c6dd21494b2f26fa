"""Records of objectives that decide which rows a step sees."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "dynamic_curriculum", "objectives",
        "batches led from natural to even, triplets with easy anchors",
        "longtail.objectives:DynamicCurriculum", family="resampling",
        reference="after Wang et al., ICCV 2019",
    ),
    Record(
        "meta_sampler", "objectives", "class rates learned through a virtual step of the head",
        "longtail.objectives:MetaSampler", family="resampling",
        reference="Ren et al., NeurIPS 2020", needs=("frozen trunk",),
    ),
    Record(
        "quintuplet", "objectives", "every anchor with its quintuplet, and three hinges",
        "longtail.objectives:Quintuplet", family="resampling",
        reference="after Huang et al., CVPR 2016",
    ),
)  # fmt: skip
