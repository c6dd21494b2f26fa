"""Module improvement: classifiers that model the features of each class."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.errors import ConfigError, UnknownNameError
from longtail.registry import part

__all__ = ["generative_head"]


@recipe(
    family="classifier",
    tier="core",
    reference="after Fisher, Annals of Eugenics 1936; Wang et al., ECCV 2022",
    aliases=("lda", "gaussian_proto", "vmf"),
    presets={"gaussian_proto": {"kind": "gaussian_proto"}, "vmf": {"kind": "vmf"}},
    details={
        "what": "Each class is a cloud of features and the class of the likeliest cloud is "
        "answered: Gaussians of one shared covariance (lda), spheres of their own width "
        "(gaussian_proto), or directions of their own concentration (vmf). Class counts enter only "
        "where they are asked for, so rare classes lose nothing by their rarity.",
        "formula": "lda: z_c = m_c' S^-1 h - m_c' S^-1 m_c / 2, S = (1-rho) mean_c S_c + "
        "rho (tr/D) I; gaussian_proto: z_c = -|h - m_c|^2 / (2 s_c^2); vmf: "
        "z_c = k_c cos(h, m_c) + log C_D(k_c), with log n_c added in training",
        "use": "lda after any plain training, at once and for small data; vmf and gaussian_proto "
        "trained with the network, vmf also where calibration matters",
        "cost": "lda: one pass over the training rows, D^3 once, C x D numbers saved; the others: "
        "C parameters more than a cosine head",
        "composes": "every sampler, loss and augmentation before lda; lda under its own model and "
        "vmf answer to the uniform prior, gaussian_proto to that of training",
        "avoid": "la_posthoc after lda or vmf (the prior is corrected already), tau_norm (refused), "
        "rho=0 with fewer rows than features (refused); class-balanced sampling beside vmf (its "
        "loss corrects the prior; refused)",
        "interpretation": "lda is fitted after training and shrinks a class-balanced covariance; in "
        "gaussian_proto the rare classes share one width; vmf keeps its normaliser at test",
    },
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
    if kind not in ("lda", *_TRAINED):
        raise UnknownNameError("kind of generative head", kind, ("lda", *_TRAINED))
    own = {"rho": rho, "covariance": covariance}
    if kind in _TRAINED:
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
