"""Objective of the logit-adjustment street."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "lade",
        "objectives",
        "a regulariser of the whole batch that frees the logits of the training prior",
        "longtail.objectives:Lade",
        family="logit_adjustment",
        reference="Hong et al., CVPR 2021",
    ),
)
