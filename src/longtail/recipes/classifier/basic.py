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
    details={
        "what": "The logit of a class is the scaled cosine between feature and class weight. "
        "Lengths of weights, which grow with the number of rows, no longer favour common classes.",
        "formula": "z_c = s cos(h, w_c); squash: s |h|/(1+|h|) cos(h, w_c); learnable: log s is "
        "trained",
        "use": "as the head below margins (ldam), for features that are compared by angle later, "
        "and where norms of class weights differ much; alone it corrects no prior",
        "cost": "that of a linear head; one parameter more with learnable=true",
        "composes": "every sampler, weight, margin and augmentation; balanced_softmax and la; "
        "second stages that draw the head anew",
        "avoid": "tau_norm (norms have no effect, it is refused), and margin losses of another "
        "scale (refused); a much smaller scale than 10 cannot fit many classes",
        "interpretation": "plain cross-entropy on the cosine head, as the specifications cite it "
        "from several sources; scale 16 is that of OLTR and TDE, margins use 30",
    },
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
    details={
        "what": "After plain training each class weight is divided by a power of its length and "
        "the bias is dropped. Common classes have long weights, so this lifts rare ones.",
        "formula": "z_c = w_c . h / |w_c|^tau; tau=0 leaves the weights, tau=1 makes them unit "
        "vectors",
        "use": "a model that was trained plainly with SGD and must not be trained again; "
        "decoupled_tau chooses tau on validation rows",
        "cost": "nothing in training; one matrix product after it",
        "composes": "instance-balanced training, mixing and augmentations before it",
        "avoid": "cosine and other heads without linear logits (refused), heads trained with Adam "
        "(norms say less about counts), and re-weighted or re-balanced training before it",
    },
)
def tau_norm(epochs: float = 200, tau: float = 1.0) -> Recipe:
    """One-stage training, then the classifier normalised: ``w_c <- w_c / |w_c|^tau``, no bias."""
    return Recipe(
        stages=(Stage(epochs),), adjusters=(part("tau_norm", tau=tau),), prior="approximate"
    )


@recipe(
    family="classifier",
    tier="core",
    reference="after Kang et al., ICLR 2020",
    details={
        "what": "A linear classifier with one learned scale a class, trained jointly with the "
        "network in one stage. The scales start at one and let a class adjust its logit as a "
        "whole.",
        "formula": "form=logit: z_c = f_c (w_c . h + b_c); form=weight: z_c = f_c w_c . h + b_c",
        "use": "as the head of a later stage that trains scales alone (decoupled_lws, mislas); by "
        "itself a close relative of plain training",
        "cost": "C parameters more; no time to speak of",
        "composes": "every sampler, loss and augmentation; tau_norm reads the scaled weights",
        "avoid": "margin losses, which need a cosine head (refused)",
        "interpretation": "in the paper scales are learned in a second stage with class-balanced "
        "rows (decoupled_lws); here all is learned at once from the instance-balanced rows",
    },
)
def lws(epochs: float = 200, form: str = "logit") -> Recipe:
    """Learnable weight scaling in one stage: a scale a class, learned jointly with the network."""
    return Recipe(head=part("lws", form=form), stages=(Stage(epochs),), prior="approximate")


@recipe(
    family="classifier",
    tier="core",
    reference="after Kang et al., ICLR 2020",
    details={
        "what": "After plain training the classifier is replaced by the class means of the "
        "training features, taken in eval mode. A row belongs to the class whose mean is nearest, "
        "however many rows that class has.",
        "formula": "z_c = -|g(h) - m_c|^2, m_c the mean of g(h) over the rows of c; g: none, l2 "
        "(unit length) or cl2n (centred, then unit length); distance=dot: g(h) . m_c / D",
        "use": "good features and a classifier that favours common classes; few-shot classes; "
        "adding classes without training",
        "cost": "one pass over the training rows; C x D numbers saved with the model",
        "composes": "every sampler, loss and augmentation of the training before it; under its own "
        "model of equal spheres its softmax answers to the uniform prior",
        "avoid": "la_posthoc and other corrections of the training prior after it, tau_norm "
        "(refused), and its probabilities as they are: distances of unit vectors are flat",
        "interpretation": "one stage of plain training, then the means; decoupled_ncm is the "
        "published form, whose normalisation is chosen on validation rows",
    },
)
def ncm(epochs: float = 200, normalise: str = "cl2n", distance: str = "l2") -> Recipe:
    """Nearest class mean: one-stage training, then means of the training features as classifier."""
    return Recipe(
        head=part("ncm", normalise=normalise, distance=distance),
        stages=(Stage(epochs),),
        finish=(part("fit_head"),),
        prior="approximate",
    )
