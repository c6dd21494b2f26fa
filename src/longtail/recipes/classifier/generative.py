"""Module improvement: classifiers that model the features of each class."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.errors import ConfigError
from longtail.registry import part

__all__ = ["generative_head"]


@recipe(
    family="classifier",
    tier="core",
    reference="Fisher, Annals of Eugenics 1936",
    aliases=("lda", "gaussian_proto", "vmf"),
)
def generative_head(
    epochs: float = 200, kind: str = "lda", rho: float = 0.1, covariance: str = "balanced"
) -> Recipe:
    """A Gaussian (or von Mises-Fisher) model of each class's features as classifier.

    ``kind="lda"``: plain training, then linear discriminant analysis of the training features with
    a class-balanced covariance (``pooled`` on request) shrunk by ``rho``. ``gaussian_proto``: means
    and widths trained with the network. ``vmf``: directions and concentrations trained with the
    class counts in the loss.
    """
    own = {"rho": rho, "covariance": covariance}
    if kind in ("gaussian_proto", "vmf"):
        if own != {"rho": 0.1, "covariance": "balanced"}:
            raise ConfigError(
                f"rho and covariance belong to kind=lda, not to {kind!r}", "leave them out"
            )
        return _TRAINED[kind](epochs)
    return Recipe(
        head=part(kind, **own),
        stages=(Stage(epochs),),
        finish=(part("fit_head"),),
        prior="approximate",
    )


def _gaussian(epochs: float) -> Recipe:
    stage = Stage(epochs, before=(part("bind_head"),))
    return Recipe(head=part("gaussian_proto"), stages=(stage,))


def _vmf(epochs: float) -> Recipe:
    return Recipe(head=part("vmf"), stages=(Stage(epochs, loss=part("balanced_softmax")),))


_TRAINED = {"gaussian_proto": _gaussian, "vmf": _vmf}
