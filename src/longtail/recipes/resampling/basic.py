"""Class re-balancing: re-sampling to the frequencies of a formula."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["class_balanced", "progressive", "ros", "rus", "square_root"]

COMPOSES = (
    "any head, augmentation, update and backbone; losses that do not correct the class prior "
    "(cross_entropy, focal, ldam without class weights); as the sampler of a second stage"
)
AVOID = (
    "losses, class weights or adjusters that correct the natural prior once more "
    "(balanced_softmax, la, inverse-frequency weights): refused unless allow_double is set"
)
Target = float | Mapping[int, float] | None
_DRAW = "no more than plain training: a draw is some 10 to 15 ns a row, 4 bytes a row are held"


def _told(target: Target) -> Any:
    """A target as a recipe keeps it: a dictionary as pairs, which hash and go through YAML."""
    return tuple(target.items()) if isinstance(target, Mapping) else target


@recipe(
    family="resampling",
    tier="seed",
    reference="Van Hulse et al., ICML 2007",
    details={
        "what": "Trains on passes that hold every class as often as the largest one: all rows once, "
        "and rows of smaller classes again and again. Nothing of the large classes is thrown away.",
        "formula": "a pass holds n_max rows of each class: all n_c, and n_max - n_c drawn with "
        "replacement; C n_max rows, shuffled",
        "use": "when rare classes matter as much as common ones and their rows bear repetition, "
        "with an augmentation that makes repeats differ; target=... stops short of full balance",
        "cost": "no more than plain training: some 40 to 60 ns a row for the draw; 4 bytes a row are held",
        "composes": COMPOSES,
        "avoid": AVOID,
        "interpretation": "an epoch stays ceil(N / B) steps and walks on through the passes of "
        "C n_max rows, so that methods are compared at equal cost",
    },
)
def ros(epochs: float = 200, target: float | Mapping[int, float] | None = None) -> Recipe:
    """Random over-sampling: every class is drawn as often as the largest.

    A pass holds ``C n_max`` rows: all originals and ``n_max - n_c`` repeats of class ``c``; an
    epoch keeps ``ceil(N / B)`` steps and walks on through the passes. ``target`` asks for
    fewer rows of the small classes: a count, or a fraction below 1 of the largest; or class id
    -> rows of some classes.
    """
    return Recipe(stages=(Stage(epochs, sampler=part("ros", target=_told(target))),))


@recipe(
    family="resampling",
    tier="seed",
    reference="Drummond and Holte, ICML workshop 2003",
    details={
        "what": "Trains on passes that hold every class as rarely as the smallest one, drawn afresh "
        "each pass. Large classes show all their rows in the course of many passes.",
        "formula": "a pass holds n_min rows of each class without replacement; C n_min rows, shuffled; "
        "refresh = False draws them once for all passes",
        "use": "when common classes are redundant and training is short of memory of rare ones; "
        "target=... keeps more rows of each class",
        "cost": "no more than plain training: some 40 to 60 ns a row for the draw; 4 bytes a row are held",
        "composes": COMPOSES,
        "avoid": AVOID
        + "; very small classes with a long training: their few rows are learnt by heart",
        "interpretation": "an epoch stays ceil(N / B) steps and walks on through passes of C n_min "
        "rows, each drawn afresh",
    },
)
def rus(
    epochs: float = 200,
    target: float | Mapping[int, float] | None = None,
    refresh: bool = True,
) -> Recipe:
    """Random under-sampling: every class is drawn as rarely as the smallest.

    A pass holds ``n_min`` rows of each class without replacement and is drawn anew each time.
    ``target`` keeps more of each class: a count, or a fraction below 1 of the largest; or class
    id -> rows of some classes. Without ``refresh`` one draw serves all passes.
    """
    sampler = part("rus", target=_told(target), refresh=refresh)
    return Recipe(stages=(Stage(epochs, sampler=sampler),))


@recipe(
    family="resampling",
    tier="seed",
    reference="Kang et al., ICLR 2020",
    aliases=("sample_q",),
    details={
        "what": "Draws a class by a power of its count and then one of its rows evenly. With q = 0 "
        "all classes come equally often, with q = 1 it is instance-balanced sampling.",
        "formula": "P(class c) = n_c^q / sum_j n_j^q, then a row of the class, with replacement",
        "use": "for a classifier that is to treat classes alike, above all in the second stage of "
        "decoupled training; trained jointly it may hurt features when classes are many and small",
        "cost": _DRAW,
        "composes": COMPOSES,
        "avoid": AVOID,
    },
)
def class_balanced(epochs: float = 200, q: float = 0.0) -> Recipe:
    """Class-balanced sampling: ``P(class c) ~ n_c^q``, then a row of the class.

    ``q = 0`` draws classes alike, ``q = 1`` is instance-balanced.
    """
    return Recipe(stages=(Stage(epochs, sampler=part("power", q=q)),))


@recipe(
    family="resampling",
    tier="seed",
    reference="Kang et al., ICLR 2020",
    details={
        "what": "Draws classes in proportion to the square root of their count. It stands half-way "
        "between instance-balanced and class-balanced sampling.",
        "formula": "P(class c) = sqrt(n_c) / sum_j sqrt(n_j), then a row of the class",
        "use": "for joint training, when full balance would repeat the rarest rows too often",
        "cost": _DRAW,
        "composes": COMPOSES
        + "; a mild prior correction on top (its own effective prior is known to the engine)",
        "avoid": AVOID,
    },
)
def square_root(epochs: float = 200) -> Recipe:
    """Square-root sampling: ``P(class c) ~ sqrt(n_c)``, then a row of the class."""
    return Recipe(stages=(Stage(epochs, sampler=part("power", q=0.5)),))


@recipe(
    family="resampling",
    tier="seed",
    reference="Kang et al., ICLR 2020",
    aliases=("progressive_sampler",),
    details={
        "what": "Starts with instance-balanced sampling and moves evenly to class-balanced sampling "
        "over the epochs. Features are learnt from all rows first, the classifier is balanced last.",
        "formula": "P(t) = (1 - t) n_c / N + t / C with t = e / (T - 1), e = 0 .. T - 1; cycle = 1 "
        "makes three ramps of T // 3 epochs, cycle = 2 goes up, down, up; reach = False: t = e / T",
        "use": "for joint training in one stage, where class-balanced sampling alone hurts the features",
        "cost": _DRAW + "; one alias table of C classes an epoch",
        "composes": COMPOSES,
        "avoid": AVOID + "; schedules that end early: the last epochs are the balanced ones",
    },
)
def progressive(epochs: float = 200, cycle: int = 0, reach: bool = True) -> Recipe:
    """Progressively-balanced sampling: from instance-balanced to class-balanced.

    ``P(t) = (1 - t) P_instance + t P_class`` with ``t = e / (T - 1)`` over the epochs. ``cycle``
    is 0 for one ramp, 1 for three, 2 for up, down and up; without ``reach``, ``t = e / T``.
    """
    sampler = part("progressive", cycle=cycle, reach=reach)
    return Recipe(stages=(Stage(epochs, sampler=sampler),))
