"""Records of kind ``objectives``: what a head needs while it trains."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "moving_head", "objectives", "the stage's loss, and a head with moving statistics",
        "longtail.objectives:MovingHead", family="classifier",
        reference="Tang et al., NeurIPS 2020", needs=("moving_head",),
    ),
)  # fmt: skip
