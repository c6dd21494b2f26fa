"""Records of objectives that measure uncertainty."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "measured_uncertainty",
        "objectives",
        "dropout on features; margins follow the variance it causes",
        "longtail.objectives:MeasuredUncertainty",
        family="cost_sensitive",
        reference="after Khan et al., CVPR 2019",
    )
)
