"""Class re-balancing: re-sampling schemes whose draws follow streams, clusters, time or learning."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["bilateral", "dcl", "meta_sampler", "quintuplet"]


@recipe(
    family="resampling",
    tier="seed",
    reference="after Zhou et al., CVPR 2020",
    aliases=("bbn_reversed",),
)
def bilateral(epochs: float = 200, uniform: str = "classes") -> Recipe:
    """Bilateral sampling: half of each batch uniform, half reversed, one network and one head."""
    return Recipe(stages=(Stage(epochs, sampler=part("bilateral", uniform=uniform)),))


@recipe(family="resampling", tier="seed", reference="after Huang et al., CVPR 2016")
def quintuplet(
    epochs: float = 200,
    size: int | None = None,
    share: float = 1.0,
    every: int = 5,
    q: float = 0.0,
) -> Recipe:
    """Quintuplet sampling: each anchor with four partners, cross-entropy plus three hinges."""
    objective = part("quintuplet", size=size, share=share, every=every)
    return Recipe(stages=(Stage(epochs, sampler=part("power", q=q), objective=objective),))


@recipe(family="resampling", tier="core", reference="after Wang et al., ICCV 2019")
def dcl(
    epochs: float = 200,
    schedule: str = "composite",
    until: float = 0.3,
    floor: float = 0.01,
    margin: float = 0.2,
) -> Recipe:
    """Dynamic curriculum learning: from natural to even classes, and from features to classes."""
    objective = part(
        "dynamic_curriculum", schedule=schedule, until=until, floor=floor, margin=margin
    )
    sampler = part("curriculum", schedule=schedule)
    return Recipe(stages=(Stage(epochs, sampler=sampler, objective=objective),))


@recipe(
    family="resampling", tier="core", reference="Ren et al., NeurIPS 2020", aliases=("bals_meta",)
)
def meta_sampler(
    epochs: float = 70,
    retrain: float = 30,
    power: float = 0.0,
    temperature: float = 1.0,
    cache: int | None = 0,
) -> Recipe:
    """Balanced meta-softmax: a balanced softmax head on rows drawn at learned class rates."""
    second = Stage(
        retrain,
        name="retrain",
        sampler=part("class_balanced"),
        loss=part("balanced_softmax"),
        objective=part("meta_sampler", power=power, temperature=temperature),
        trains="head",
        bn="eval",
        cache=cache,
        before=(part("reset_head"),),
    )
    return Recipe(
        stages=(Stage(epochs, name="represent"), second), prior="approximate", allow_double=True
    )
