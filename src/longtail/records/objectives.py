"""Records of kind ``objectives``: methods that own a batch or a step."""

import longtail.records.objectives_adjust
import longtail.records.objectives_heads
import longtail.records.objectives_resampling
import longtail.records.objectives_structured
import longtail.records.objectives_uncertainty  # noqa: F401
from longtail.registry import Record, register

__all__: list[str] = []

_AT = "longtail.objectives:"

register(
    Record(
        "supervised", "objectives", "the stage's loss on the first view", _AT + "Supervised",
        family="supervised",
    ),
    Record(
        "bilateral", "objectives", "uniform and reversed streams through two branches",
        _AT + "Bilateral", family="ensembles", reference="Zhou et al., CVPR 2020",
    ),
    Record(
        "diverse_experts", "objectives", "three experts for three test priors",
        _AT + "DiverseExperts", family="ensembles", reference="Zhang et al., NeurIPS 2022",
    ),
    Record(
        "manifold_mixup", "objectives", "mix two rows at a hidden cut", _AT + "ManifoldMixup",
        family="augmentation", reference="Verma et al., ICML 2019", needs=("cuts",),
    ),
    Record(
        "meta_weight_net", "objectives", "learned sample weights through a virtual step",
        _AT + "MetaWeightNet", family="cost_sensitive", reference="Shu et al., NeurIPS 2019",
        needs=("meta",),
    ),
    Record(
        "paco", "objectives", "class centres contrasted among the keys of a slow twin",
        _AT + "PaCo", family="representation", reference="Cui et al., ICCV 2021",
        needs=("views", "projector"),
    ),
)  # fmt: skip
