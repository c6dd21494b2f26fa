"""Records of kind ``handovers`` that fill or set a head from data."""

from longtail.registry import Record, register

__all__: list[str] = []

_AT = "longtail.engine.handover_heads:"

register(
    Record(
        "fit_head", "handovers", "fill a head from the features of all training rows",
        _AT + "FitHead", needs=("fitted_head",),
    ),
    Record(
        "bind_head", "handovers", "tell a head the class counts", _AT + "BindHead",
        needs=("bound_head",),
    ),
    Record(
        "choose_head", "handovers", "choose a head's free setting on validation rows",
        _AT + "ChooseHead", needs=("fitted_head", "validation"),
    ),
)  # fmt: skip
