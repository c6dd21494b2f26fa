"""Module improvement: classifiers that are trained plainly and differ in their head."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["cosine", "lws", "ncm", "tau_norm"]


@recipe(
    family="classifier",
    tier="core",
    reference="after Gidaris and Komodakis, CVPR 2018",
    aliases=("cosine_heads",),
)
def cosine(
    epochs: float = 200, scale: float = 16.0, learnable: bool = False, squash: bool = False
) -> Recipe:
    """Cosine classifier: scaled cosines of feature and weight, so that no class gains by its norm.

    ``learnable`` trains the scale; ``squash`` keeps a share of the feature's length.
    """
    head = part("cosine", scale=scale, learnable=learnable, squash=squash)
    return Recipe(head=head, stages=(Stage(epochs),))


@recipe(
    family="classifier",
    tier="core",
    reference="Kang et al., ICLR 2020",
)
def tau_norm(epochs: float = 200, tau: float = 1.0) -> Recipe:
    """One-stage training, then the classifier normalised: ``w_c <- w_c / |w_c|^tau``, no bias."""
    return Recipe(
        stages=(Stage(epochs),), adjusters=(part("tau_norm", tau=tau),), prior="approximate"
    )


@recipe(family="classifier", tier="core", reference="after Kang et al., ICLR 2020")
def lws(epochs: float = 200, form: str = "logit") -> Recipe:
    """Learnable weight scaling in one stage: a scale a class, learned jointly with the network."""
    return Recipe(head=part("lws", form=form), stages=(Stage(epochs),))


@recipe(family="classifier", tier="core", reference="after Kang et al., ICLR 2020")
def ncm(epochs: float = 200, normalise: str = "cl2n", distance: str = "l2") -> Recipe:
    """Nearest class mean: one-stage training, then means of the training features as classifier."""
    return Recipe(
        head=part("ncm", normalise=normalise, distance=distance),
        stages=(Stage(epochs),),
        finish=(part("fit_head"),),
        prior="approximate",
    )
