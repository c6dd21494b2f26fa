"""Records of kind ``schedules``: the learning rate over a stage."""

from longtail.registry import Record, register

__all__: list[str] = []

_AT = "longtail.schedules:"

register(
    Record("constant", "schedules", "the same rate throughout", _AT + "constant"),
    Record("cosine", "schedules", "half a cosine to zero, after a warm-up", _AT + "cosine"),
    Record("steps", "schedules", "drops at given fractions, after a warm-up", _AT + "steps"),
)
