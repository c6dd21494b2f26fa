"""Records of kind ``updates``: how gradients become a step."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record("plain", "updates", "one backward, one optimiser step", "longtail.engine.update:Plain"),
)
