"""Class re-balancing: re-sampling."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["class_balanced", "progressive", "ros", "rus", "square_root"]


@recipe(family="resampling", tier="seed", reference="Van Hulse et al., ICML 2007")
def ros(epochs: float = 200) -> Recipe:
    """Random over-sampling: every class is drawn as often as the largest.

    A pass holds ``C n_max`` rows: all originals and ``n_max - n_c`` repeats of class ``c``; an
    epoch keeps ``ceil(N / B)`` steps and walks on through the passes.
    """
    return Recipe(stages=(Stage(epochs, sampler=part("ros")),))


@recipe(family="resampling", tier="seed", reference="Drummond and Holte, ICML workshop 2003")
def rus(epochs: float = 200) -> Recipe:
    """Random under-sampling: every class is drawn as rarely as the smallest.

    A pass holds ``n_min`` rows of each class without replacement and is drawn anew each time.
    """
    return Recipe(stages=(Stage(epochs, sampler=part("rus")),))


@recipe(family="resampling", tier="seed", reference="Kang et al., ICLR 2020", aliases=("sample_q",))
def class_balanced(epochs: float = 200, q: float = 0.0) -> Recipe:
    """Class-balanced sampling: ``P(class c) ~ n_c^q``, then a row of the class.

    ``q = 0`` draws classes alike, ``q = 1`` is instance-balanced.
    """
    return Recipe(stages=(Stage(epochs, sampler=part("power", q=q)),))


@recipe(family="resampling", tier="seed", reference="Kang et al., ICLR 2020")
def square_root(epochs: float = 200) -> Recipe:
    """Square-root sampling: ``P(class c) ~ sqrt(n_c)``, then a row of the class."""
    return Recipe(stages=(Stage(epochs, sampler=part("power", q=0.5)),))


@recipe(
    family="resampling",
    tier="seed",
    reference="Kang et al., ICLR 2020",
    aliases=("progressive_sampler",),
)
def progressive(epochs: float = 200) -> Recipe:
    """Progressively-balanced sampling: from instance-balanced to class-balanced.

    ``P(t) = (1 - t) P_instance + t P_class`` with ``t = e / (T - 1)`` over the epochs.
    """
    return Recipe(stages=(Stage(epochs, sampler=part("progressive")),))
