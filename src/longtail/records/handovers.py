"""Records of kind ``handovers``: what happens between stages."""

import longtail.records.handovers_heads
import longtail.records.handovers_taxonomy  # noqa: F401
from longtail.registry import Record, register

__all__: list[str] = []

_AT = "longtail.engine.handover:"

register(
    Record("reset_head", "handovers", "draw the classifier's weights anew", _AT + "ResetHead"),
    Record("fresh_model", "handovers", "start again from new weights", _AT + "FreshModel"),
    Record(
        "previous_as_teacher", "handovers", "keep the model so far as a frozen teacher",
        _AT + "PreviousAsTeacher",
    ),
    Record(
        "cap_per_class", "handovers", "keep at most so many training rows a class",
        _AT + "CapPerClass", case={"limit": 5},
    ),
    Record(
        "pseudo_labels", "handovers", "label unlabelled rows by the model and train on the union",
        _AT + "PseudoLabels", needs=("unlabelled",),
    ),
    Record(
        "grow_tree", "handovers", "cluster classes and train a model for each group",
        _AT + "GrowTree",
    ),
    Record("assemble_tree", "handovers", "join root and group models", _AT + "AssembleTree"),
)  # fmt: skip
