"""Where the contract does not hold as it stands, and why."""

from __future__ import annotations

__all__ = ["EXCEPTIONS", "UNLISTED"]

#: ("kind.record", check) -> reason
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("objectives.paco", "constructor_stores_what_it_got"): (
        "its attribute `queue` is the queue of keys; the number asked for is `size`"
    ),
}

#: "kind.Class" -> why this public class of a room has no record
UNLISTED: dict[str, str] = {
    "samplers.ClassDraw": "base of the samplers that draw a class first",
    "samplers.Walk": "base of the samplers that walk through passes",
    "augments.ViewAugment": "base of view transforms",
    "augments.MixAugment": "base of batch transforms",
    "heads.Head": "base of classifiers",
}
