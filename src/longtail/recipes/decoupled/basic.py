"""Decoupled training: the four classifiers of the first study, on one plain representation."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, cacheable, recipe
from longtail.registry import part

__all__ = ["crt", "decoupled_lws", "decoupled_ncm", "decoupled_tau"]


@recipe(
    family="decoupled",
    tier="seed",
    reference="Kang et al., ICLR 2020",
    aliases=("decouple_crt",),
    details={
        "what": "The network is trained plainly; then it is frozen, a classifier is drawn anew and "
        "trained on class-balanced samples. Rare classes get a fair boundary without disturbing "
        "features that were learned from all rows.",
        "formula": "stage 1: min CE(W h(x) + b, y) over rows; stage 2, h frozen: "
        "min CE(W' h(x) + b', y) over rows drawn class by class (P(class) = 1/C)",
        "use": "The first thing to try on a trained network: --from takes any checkpoint.",
        "cost": "About a tenth more epochs, on features that are computed once: seconds.",
        "composes": "Any first stage (mixup, contrastive, self-supervised), any loss of the second; "
        "cache=8 keeps eight augmented views of each row, cache=null recomputes them all.",
        "avoid": "Balanced softmax or class weights in the second stage: with balanced sampling they "
        "correct the class prior twice.",
    },
)
def crt(
    epochs: float = 90,
    retrain: float = 10,
    per_class: int = 4,
    bn: str = "eval",
    cache: int | str | None = "auto",
) -> Recipe:
    """Classifier re-training: learn features plainly, then a fresh head on balanced classes.

    Stage 2 freezes the network, draws the head anew and samples classes in turn (``per_class``
    rows each). ``bn="update_stats"`` lets the frozen statistics drift as published code does.
    """
    second = Stage(
        retrain,
        name="retrain",
        sampler=part("class_aware", k=per_class),
        trains="head",
        bn=bn,
        cache=cacheable(cache, bn),
        before=(part("reset_head"),),
    )
    return Recipe(stages=(Stage(epochs, name="represent"), second))


@recipe(
    family="decoupled",
    tier="seed",
    reference="Kang et al., ICLR 2020",
    aliases=("decouple_lws",),
    details={
        "what": "The network and its classifier are trained plainly and frozen; then one scale a "
        "class is learned on class-balanced samples. Directions of the classifier stay, only how "
        "loudly each class speaks changes.",
        "formula": "z_c = f_c (w_c . h + b_c), f = 1 at first; stage 2 learns f alone, "
        "P(class) = 1/C (form=weight: f_c w_c . h + b_c)",
        "use": "When a re-trained classifier over-fits the rare classes; it is tau-normalisation "
        "with exponents that are learned and no validation data.",
        "cost": "A twentieth more epochs on features that are computed once; C parameters more.",
        "composes": "Any first stage that leaves a linear classifier; --from takes it from a "
        "checkpoint.",
        "avoid": "Balanced softmax or class weights in the second stage (the prior is corrected "
        "twice), and cosine classifiers, whose scale is one number.",
    },
)
def decoupled_lws(
    epochs: float = 90,
    rescale: float = 5,
    per_class: int = 4,
    form: str = "logit",
    bn: str = "eval",
    cache: int | str | None = "auto",
) -> Recipe:
    """Learnable weight scaling: a frozen network and classifier, one scale a class learned after."""
    second = Stage(
        rescale,
        name="rescale",
        sampler=part("class_aware", k=per_class),
        trains="head.scales",
        bn=bn,
        cache=cacheable(cache, bn),
    )
    first = Stage(epochs, name="represent", trains="backbone,head.weight,head.bias")
    return Recipe(head=part("lws", form=form), stages=(first, second), prior="approximate")


@recipe(
    family="decoupled",
    tier="seed",
    reference="Kang et al., ICLR 2020",
    aliases=("decouple_tau",),
    needs=("validation",),
    details={
        "what": "The network is trained plainly; then the weight vectors of its classifier are "
        "divided by a power of their length, since common classes grow longer ones. The power is "
        "chosen on validation rows, in one matrix product for all candidates.",
        "formula": "z_c = w_c . h / |w_c|^tau, no bias; tau of 0, 0.1, ..., 2 with the best balanced "
        "accuracy on validation rows",
        "use": "When nothing may be trained any more and validation rows are at hand.",
        "cost": "Nothing at training or test; a tenth of the training rows is set aside when there "
        "is no validation part.",
        "composes": "Any first stage that leaves a linear classifier; --from takes it from a "
        "checkpoint.",
        "avoid": "Cosine classifiers (their rows have no length), and a training loss that corrects "
        "the prior already. Under Adam lengths follow class counts less closely than under SGD.",
    },
)
def decoupled_tau(epochs: float = 90, tau: float | None = None) -> Recipe:
    """Tau-normalised classifier of a plain network, tau chosen on validation data."""
    return Recipe(
        stages=(Stage(epochs, name="represent"),),
        adjusters=(part("tau_norm", tau=tau),),
        prior="approximate",
    )


@recipe(
    family="decoupled",
    tier="seed",
    reference="Kang et al., ICLR 2020",
    aliases=("decouple_ncm",),
    needs=("validation",),
    details={
        "what": "The network is trained plainly; then every class is represented by the mean of its "
        "training features and a sample gets the nearest one. Whether features are left, scaled "
        "to length one, or centred first is chosen on validation rows.",
        "formula": "z_c = -|g(h) - m_c|^2, m_c = mean of g(h) over the rows of c; g is h, h / |h|, or "
        "(h - m) / |h - m| with m the mean of all rows",
        "use": "When classes come and go (a new class needs its mean alone), and as a probe of how "
        "good features are.",
        "cost": "One pass over the training rows; C D numbers. A tenth of the training rows is set "
        "aside when there is no validation part.",
        "composes": "Any first stage; --from takes it from a checkpoint of any trainer, a classifier "
        "is not needed.",
        "avoid": "Reading its scores as probabilities of a prior: distances answer to none.",
    },
)
def decoupled_ncm(epochs: float = 90, normalise: str = "chosen", distance: str = "l2") -> Recipe:
    """Nearest class mean on a plain network, the normalisation of features chosen on validation.

    ``normalise`` fixes it instead: ``none``, ``l2`` or ``cl2n``.
    """
    chosen = normalise == "chosen"
    return Recipe(
        head=part("ncm", normalise=None if chosen else normalise, distance=distance),
        stages=(Stage(epochs, name="represent"),),
        finish=(part("fit_head"), *((part("choose_head"),) if chosen else ())),
        prior="approximate",
    )
