"""Class re-balancing: re-weighting and re-margining."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import PartSpec, part

__all__ = ["cb", "drw", "focal", "ldam", "ldam_drw", "meta_weight_net", "weighted_ce"]

_MEAN = "weighted_mean"


def _deferred(beta: float, after: float) -> PartSpec:
    return part("deferred", part("effective_number", beta=beta), after=after)


@recipe(family="cost_sensitive", tier="seed", reference="King and Zeng, 2001")
def weighted_ce(epochs: float = 200, power: float = 1.0) -> Recipe:
    """Cross-entropy with inverse-frequency class weights ``w_c ~ n_c^-power``.

    ``power = 0.5`` is the square-root form. Torch's weighted mean divides by the weights drawn.
    """
    weight = part("inverse_frequency", power=power)
    loss = part("cross_entropy", weight=weight, reduction=_MEAN)
    return Recipe(stages=(Stage(epochs, loss=loss),))


@recipe(
    family="cost_sensitive",
    tier="seed",
    reference="Cui et al., CVPR 2019",
    aliases=("cb_loss", "cb_weights"),
)
def cb(epochs: float = 200, beta: float = 0.9999) -> Recipe:
    """Class-balanced loss: weights by effective number, ``w_c ~ (1 - beta) / (1 - beta^n_c)``."""
    weight = part("effective_number", beta=beta)
    loss = part("cross_entropy", weight=weight, reduction=_MEAN)
    return Recipe(stages=(Stage(epochs, loss=loss),))


@recipe(
    family="cost_sensitive", tier="seed", reference="Lin et al., ICCV 2017", aliases=("cb_focal",)
)
def focal(epochs: float = 200, gamma: float = 2.0, beta: float | None = None) -> Recipe:
    """Focal loss ``-(1 - p_y)^gamma log p_y``; with ``beta`` also class-balanced weights."""
    options = (
        {} if beta is None else {"weight": part("effective_number", beta=beta), "reduction": _MEAN}
    )
    return Recipe(stages=(Stage(epochs, loss=part("focal", gamma=gamma, **options)),))


@recipe(
    family="cost_sensitive", tier="seed", reference="Cao et al., NeurIPS 2019", aliases=("drs",)
)
def drw(epochs: float = 200, beta: float = 0.9999, defer_until: float = 0.8) -> Recipe:
    """Deferred re-weighting: plain cross-entropy, class-balanced weights for the last epochs."""
    loss = part("cross_entropy", weight=_deferred(beta, defer_until), reduction=_MEAN)
    return Recipe(stages=(Stage(epochs, loss=loss),))


@recipe(family="cost_sensitive", tier="seed", reference="Cao et al., NeurIPS 2019")
def ldam(epochs: float = 200, margin: float = 0.5, scale: float = 30.0) -> Recipe:
    """Label-distribution-aware margins: rare classes keep a larger distance.

    ``m_c = margin (n_min / n_c)^(1/4)``, cross-entropy on ``s (cos - m_y 1[y])``.
    """
    loss = part("ldam", margin=margin, scale=scale)
    return Recipe(head=part("cosine", scale=scale), stages=(Stage(epochs, loss=loss),))


@recipe(family="cost_sensitive", tier="seed", reference="Cao et al., NeurIPS 2019")
def ldam_drw(
    epochs: float = 200,
    margin: float = 0.5,
    scale: float = 30.0,
    beta: float = 0.9999,
    defer_until: float = 0.8,
) -> Recipe:
    """LDAM margins with deferred re-weighting by effective number."""
    weight = _deferred(beta, defer_until)
    loss = part("ldam", margin=margin, scale=scale, weight=weight, reduction=_MEAN)
    return Recipe(head=part("cosine", scale=scale), stages=(Stage(epochs, loss=loss),))


@recipe(
    family="cost_sensitive", tier="core", reference="Shu et al., NeurIPS 2019", aliases=("mwnet",)
)
def meta_weight_net(
    epochs: float = 200, hidden: int = 100, virtual: str = "all", meta_per_class: int = 10
) -> Recipe:
    """Sample weights learned by a small network from a balanced meta set (bi-level).

    The meta set (``meta_per_class`` rows a class, at most a fifth of it) leaves the training
    data before counts are taken.
    """
    objective = part("meta_weight_net", hidden=hidden, virtual=virtual)
    return Recipe(
        stages=(Stage(epochs, objective=objective),),
        meta_per_class=meta_per_class,
        prior="approximate",
    )
