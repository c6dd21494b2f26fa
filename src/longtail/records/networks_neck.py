"""Records of kind `networks`: a layer between backbone and head."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "neck",
        "network",
        "one backbone, then projection where needed, BatchNorm and length one, one head",
        "longtail.models.build:neck",
        reference="after Yang et al., NeurIPS 2022",
    ),
)
