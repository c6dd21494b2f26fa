"""Class re-balancing: re-weighting and re-margining."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import PartSpec, part

__all__ = ["cb", "drw", "focal", "ldam", "ldam_drw", "meta_weight_net", "weighted_ce"]

_MEAN = "weighted_mean"
_TWICE = (
    "class-balanced sampling, balanced softmax or post-hoc adjustment beside it (the prior would "
    "be corrected twice; the build refuses it)"
)


def _deferred(beta: float, after: float) -> PartSpec:
    return part("deferred", part("effective_number", beta=beta), after=after)


@recipe(
    family="cost_sensitive",
    tier="seed",
    reference="King and Zeng, 2001",
    details={
        "what": "Weighs the loss of each sample by the inverse frequency of its class, so that "
        "all classes count alike. power=0.5 is the square-root form, which is gentler.",
        "formula": "w_y CE(z, y), w_c ~ n_c^-power of mean one, over the sum of the weights drawn",
        "use": "mild imbalance, tables and linear models; from scratch on strong imbalance prefer "
        "power=0.5 or drw",
        "cost": "that of cross-entropy; no state",
        "composes": "any sampler that keeps the natural prior, mixing, second stages, deferred",
        "avoid": _TWICE,
    },
)
def weighted_ce(epochs: float = 200, power: float = 1.0) -> Recipe:
    """Cross-entropy with inverse-frequency class weights ``w_c ~ n_c^-power``.

    ``power = 0.5`` is the square-root form. Torch's weighted mean divides by the weights drawn.
    """
    weight = part("inverse_frequency", power=power)
    loss = part("cross_entropy", weight=weight, reduction=_MEAN)
    return Recipe(stages=(Stage(epochs, loss=loss),))


#: base of the class-balanced loss -> its part; any other name is that of a loss
_BASES = {
    "softmax": part("cross_entropy", reduction=_MEAN),
    "sigmoid": part("focal", form="sigmoid", gamma=0.0),
}


@recipe(
    family="cost_sensitive",
    tier="seed",
    reference="Cui et al., CVPR 2019",
    aliases=("cb_loss", "cb_weights"),
    details={
        "what": "Samples of one class overlap, so their effective number grows more slowly than "
        "their count and ends at 1 / (1 - beta). Classes are weighed by its inverse.",
        "formula": "w_y l(z, y), w_c ~ (1 - beta) / (1 - beta^n_c) of mean one; base=softmax: l is "
        "cross-entropy, base=sigmoid: binary cross-entropy summed over classes, "
        "base=bce_on_softmax: the form that a widely copied port calls softmax",
        "use": "in place of weighted_ce; smaller beta for smaller or more redundant classes",
        "cost": "that of cross-entropy, of its one-vs-rest form with base=sigmoid; no state",
        "composes": "any sampler that keeps the natural prior, mixing, second stages; focal with "
        "beta is its focal form",
        "avoid": _TWICE + "; base=sigmoid with very many classes from scratch (the negatives "
        "lead, though the bias starts at the prior 1/C)",
    },
)
def cb(epochs: float = 200, beta: float = 0.9999, base: str = "softmax") -> Recipe:
    """Class-balanced loss: weights by effective number, ``w_c ~ (1 - beta) / (1 - beta^n_c)``.

    ``base`` is ``softmax``, ``sigmoid`` (binary cross-entropies summed over classes) or
    ``bce_on_softmax``, the form of a widely copied port.
    """
    loss = _BASES.get(base, part(base)).replace(weight=part("effective_number", beta=beta))
    return Recipe(head=_head(base), stages=(Stage(epochs, loss=loss),))


@recipe(
    family="cost_sensitive",
    tier="seed",
    reference="Lin et al., ICCV 2017",
    aliases=("cb_focal",),
    presets={"cb_focal": {"beta": 0.9999}},
    details={
        "what": "Samples that are classified with confidence count less, so that hard ones, often "
        "of rare classes, lead. With beta it also weighs classes by effective number.",
        "formula": "w_y (1 - p_y)^gamma (-log p_y); form=sigmoid: sum over classes of "
        "(1 - q_j)^gamma (-log q_j), q_j = sigmoid(+-z_j)",
        "use": "many easy samples; one-vs-rest classifiers (form=sigmoid); class weights stand "
        "outside of the modulator",
        "cost": "that of cross-entropy, of its one-vs-rest form with form=sigmoid; no state",
        "composes": "class weights (beta), any sampler, mixing, second stages",
        "avoid": "noisy labels (they are hard for ever); reading its softmax as calibrated "
        "probabilities",
    },
)
def focal(
    epochs: float = 200,
    gamma: float = 2.0,
    beta: float | None = None,
    form: str = "softmax",
    detach_modulator: bool = False,
) -> Recipe:
    """Focal loss ``-(1 - p_y)^gamma log p_y``; with ``beta`` also class-balanced weights.

    ``form="sigmoid"`` sums a binary focal loss over classes; ``detach_modulator`` lets no
    gradient through ``(1 - p_y)^gamma``.
    """
    loss = part("focal", gamma=gamma, form=form, detach_modulator=detach_modulator)
    if beta is not None:
        reduction = "mean" if form == "sigmoid" else _MEAN
        loss = loss.replace(weight=part("effective_number", beta=beta), reduction=reduction)
    return Recipe(head=_head(form), stages=(Stage(epochs, loss=loss),))


def _head(form: str) -> PartSpec:
    """One-vs-rest classifiers begin with the answer ``1/C``."""
    return part("linear", prior_bias=True) if form == "sigmoid" else part("linear")


@recipe(
    family="cost_sensitive",
    tier="seed",
    reference="Cao et al., NeurIPS 2019",
    aliases=("drs",),
    presets={"drs": {"resample": True}},
    details={
        "what": "Learns features with plain cross-entropy and re-balances only for the last part "
        "of training. Early re-balancing harms features; late it moves the classifier alone.",
        "formula": "CE(z, y) before defer_until, then w_y CE(z, y) with weights by effective "
        "number; resample=true: samples drawn by class instead (DRS)",
        "use": "with any schedule whose learning rate has dropped by then",
        "cost": "that of cross-entropy; no state",
        "composes": "margins (ldam_drw), mixing; any weight or sampler by "
        "--set weight=deferred(...) or sampler=deferred(...)",
        "avoid": _TWICE,
    },
)
def drw(
    epochs: float = 200, beta: float = 0.9999, defer_until: float = 0.8, resample: bool = False
) -> Recipe:
    """Deferred re-weighting: plain cross-entropy, class-balanced weights for the last epochs.

    ``resample`` defers class-balanced sampling in place of the weights (DRS).
    """
    if resample:
        sampler = part("deferred", part("class_balanced"), after=defer_until)
        return Recipe(stages=(Stage(epochs, sampler=sampler),))
    loss = part("cross_entropy", weight=_deferred(beta, defer_until), reduction=_MEAN)
    return Recipe(stages=(Stage(epochs, loss=loss),))


@recipe(
    family="cost_sensitive",
    tier="seed",
    reference="Cao et al., NeurIPS 2019",
    details={
        "what": "Asks for a larger distance between a sample and the decision border the rarer "
        "its class is. The margin follows from a bound on the error of balanced classes.",
        "formula": "CE(s (cos - m_y 1[y]), y), m_c = margin (n_min / n_c)^(1/4)",
        "use": "a regulariser for rare classes; usually together with deferred weights (ldam_drw)",
        "cost": "that of cross-entropy; no state",
        "composes": "deferred weights or sampling, mixing; a cosine head of the same scale",
        "avoid": "linear heads (the build refuses); logit adjustment beside it",
    },
)
def ldam(epochs: float = 200, margin: float = 0.5, scale: float = 30.0) -> Recipe:
    """Label-distribution-aware margins: rare classes keep a larger distance.

    ``m_c = margin (n_min / n_c)^(1/4)``, cross-entropy on ``s (cos - m_y 1[y])``.
    """
    loss = part("ldam", margin=margin, scale=scale)
    return Recipe(head=part("cosine", scale=scale), stages=(Stage(epochs, loss=loss),))


@recipe(
    family="cost_sensitive",
    tier="seed",
    reference="Cao et al., NeurIPS 2019",
    details={
        "what": "LDAM margins throughout, class weights by effective number for the last part of "
        "training. Margins shape the features, the weights then move the borders.",
        "formula": "w_y CE(s (cos - m_y 1[y]), y), m_c = margin (n_min / n_c)^(1/4), "
        "w = 1 before defer_until, then ~ (1 - beta) / (1 - beta^n_c)",
        "use": "a strong plain baseline for images trained from scratch",
        "cost": "that of cross-entropy; no state",
        "composes": "mixing, strong augmentation, sharpness-aware updates",
        "avoid": "linear heads (the build refuses); logit adjustment or class-balanced sampling "
        "beside it",
    },
)
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
    family="cost_sensitive",
    tier="core",
    reference="Shu et al., NeurIPS 2019",
    aliases=("mwnet",),
    details={
        "what": "A small network maps the loss of a sample to its weight. It learns from a small "
        "balanced set: weights are good when a step with them lowers the loss there.",
        "formula": "w' = w - lr grad (1/B) sum_i V(l_i) l_i; V <- Adam(grad_V CE_meta(w')); then "
        "a plain step with V fixed",
        "use": "noisy labels and imbalance together; some samples of every class to spare",
        "cost": "a bit over four forward and backward passes a step (virtual=head: about two); "
        "rows of the meta set are not trained on",
        "composes": "any head and first-order optimiser",
        "avoid": "--compile, very small classes (the meta set takes up to a fifth), mixing of "
        "labels, other losses in its place",
    },
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
