"""Margins, scales and noise on the logits that depend on class counts."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["adrw_tla", "elm", "gcl", "kps", "vs"]

_MEAN = "weighted_mean"


@recipe(
    family="cost_sensitive",
    tier="core",
    reference="Kini et al., NeurIPS 2021",
    aliases=("cdt",),
    presets={"cdt": {"tau": 0.0}},
    details={
        "what": "Divides the logits of rare classes by a temperature and adds the log prior "
        "during training, so that the plain logits favour rare classes at test. The offset acts "
        "early in training, the temperature also when the data are fitted.",
        "formula": "-log softmax(z / Delta + tau log prior)_y, Delta_c = (n_max / n_c)^gamma; "
        "gamma=0 is la, tau=0 is CDT",
        "use": "instead of la where networks fit the training set completely; tau=0 for CDT",
        "cost": "that of cross-entropy; no state",
        "composes": "mixing, class weights from late in training, a second stage",
        "avoid": "class-balanced sampling, post-hoc adjustment or balanced softmax beside it; "
        "large gamma with strong imbalance and few epochs (rare logits learn slowly: set after)",
    },
)
def vs(
    epochs: float = 200,
    gamma: float = 0.3,
    tau: float = 1.0,
    warm_up: float = 0.0,
) -> Recipe:
    """Vector-scaling loss: cross-entropy on ``z / Delta + tau log pi``.

    ``tau=0`` is CDT (class-dependent temperatures), ``gamma=0`` logit adjustment; ``warm_up`` is
    the fraction of training with plain cross-entropy first (the published ``mixed`` mode: 0.03).
    """
    loss = part("vs", gamma=gamma, tau=tau, after=warm_up)
    return Recipe(stages=(Stage(epochs, loss=loss),))


@recipe(
    family="cost_sensitive",
    tier="extended",
    reference="Wang et al., NeurIPS 2023",
    details={
        "what": "Vector scaling at first. Late in training class weights switch on (aligned "
        "deferred re-weighting) and the temperatures are dropped, so that only the log prior is "
        "added (truncated logit adjustment).",
        "formula": "before defer_until: CE(z / Delta + tau log prior, y); then "
        "w_y CE(z + tau log prior, y) with w ~ n^-power of mean one",
        "use": "long schedules with a late drop of the learning rate, where vs or ldam_drw works",
        "cost": "that of cross-entropy; no state",
        "composes": "mixing, strong augmentation, sharpness-aware updates",
        "avoid": "class-balanced sampling or post-hoc adjustment beside it: weights and offsets "
        "together over-correct the prior already, as published",
        "interpretation": "both switches fall at one fraction of training; published code divides "
        "the epoch by a fixed number and fails from twice that number on",
    },
)
def adrw_tla(
    epochs: float = 200,
    gamma: float = 0.3,
    tau: float = 1.0,
    power: float = 0.5,
    defer_until: float = 0.8,
) -> Recipe:
    """Vector scaling, then deferred weights ``n^-power`` and the log prior without temperatures."""
    weight = part("deferred", part("inverse_frequency", power=power), after=defer_until)
    loss = part("vs", gamma=gamma, tau=tau, truncate=defer_until, weight=weight, reduction=_MEAN)
    return Recipe(stages=(Stage(epochs, loss=loss),), allow_double=True)


@recipe(
    family="cost_sensitive",
    tier="extended",
    reference="after Kato and Hotta, arXiv 2306.09132, 2023",
    details={
        "what": "LDAM margins, corrected by the margin of the class that competes hardest with "
        "the label. What counts is then the difference of the two margins.",
        "formula": "-log softmax(z + s (strength m_k - m_y) 1[y])_y, k = argmax_{j != y} z_j, "
        "m_c = margin (n_min / n_c)^(1/4)",
        "use": "where LDAM's margins are too hard to meet; strength=0 is ldam",
        "cost": "that of cross-entropy and one more search for the largest logit; no state",
        "composes": "mixing, second stages; a cosine head of the same scale",
        "avoid": "linear heads (the build refuses); logit adjustment beside it; class weights beside "
        "the default strength, which favours rare classes strongly already",
        "interpretation": "published code gives the rival's margin back to the label (strength=1, "
        "the default); the title speaks of enlarging, which a negative strength does",
    },
)
def elm(
    epochs: float = 200,
    margin: float = 0.5,
    scale: float = 30.0,
    strength: float = 1.0,
) -> Recipe:
    """Enlarged large margin: LDAM with the margin of the best other class.

    ``strength=0`` is ``ldam``.
    """
    loss = part("elm", margin=margin, scale=scale, strength=strength)
    return Recipe(head=part("cosine", scale=scale), stages=(Stage(epochs, loss=loss),))


@recipe(
    family="cost_sensitive",
    tier="core",
    reference="Li, Cheung and Lu, CVPR 2022",
    aliases=("gcl_angular",),
    presets={"gcl_angular": {"form": "angular", "noise_level": 0.1}},
    modalities=("image", "table"),
    details={
        "what": "Clouds the cosines with noise that is wider the rarer a class, so that rare "
        "classes, which few samples describe, are spread wider in feature space. A second stage "
        "tunes the classifier on balanced classes, hard samples first.",
        "formula": "CE of s (c_j - noise |e| a_j - m 1[j = y]), a_c = (log n_max - log n_c) / max, "
        "e ~ N(0, 1/3) clipped to [-1, 1]; stage 2 times (1 - p_y)^gamma without gradient",
        "use": "images with strong imbalance and a long schedule; form=angular adds the noise to "
        "the angle (noise_level=0.1 published)",
        "cost": "one random number a row and class in training; a short second stage; no state",
        "composes": "any backbone, mixing in stage 1 (mixup=0: none)",
        "avoid": "linear heads (the build refuses), logit adjustment, a second rebalancing",
        "interpretation": "both stages share the scale of the head (published code has 30, then "
        "20)",
    },
)
def gcl(
    epochs: float = 200,
    retrain: float = 30,
    noise_level: float = 0.5,
    scale: float = 30.0,
    margin: float = 0.1,
    gamma: float = 1.0,
    mixup: float = 1.0,
    form: str = "cosine",
    bn: str = "eval",
) -> Recipe:
    """Gaussian clouded logits, then a classifier stage on balanced classes.

    Stage 1 mixes samples (``mixup``) and has no margin; stage 2 freezes the features, samples
    classes alike, takes ``margin`` off the label and weighs hard samples by ``(1 - p_y)^gamma``.
    """
    cloud = part("gcl", noise_level=noise_level, scale=scale, form=form)
    first = Stage(
        epochs,
        name="represent",
        loss=cloud,
        augment=(part("mixup", alpha=mixup),) if mixup > 0 else (),
    )
    second = Stage(
        retrain,
        name="retrain",
        loss=cloud.replace(margin=margin, gamma=gamma),
        sampler=part("class_balanced"),
        trains="head",
        bn=bn,
    )
    return Recipe(head=part("cosine", scale=scale), stages=(first, second))


@recipe(
    family="cost_sensitive",
    tier="extended",
    reference="Li, Cheung and Hu, TPAMI 2023",
    details={
        "what": "Scales the cosines of frequent classes up and gives rare classes larger margins, "
        "both by the logarithm of the count. Late in training the rows of rare classes count "
        "with larger logits, so that their gradient lasts.",
        "formula": "-log softmax(g_y (s_j z_j - S m_y 1[j = y]))_y, s_c = log(base n_c / n_min) / "
        "log base, m_c = margin s_(mirror rank) / max s; g = clip(S s_(mirror rank), S, largest) / S "
        "from defer_until on, before it 1",
        "use": "instead of ldam where margins alone leave rare classes behind",
        "cost": "that of cross-entropy; no state; soft targets cost C times as much",
        "composes": "mixing, deferred weights, second stages; a cosine head of the same scale",
        "avoid": "linear heads (the build refuses), logit adjustment beside it",
        "interpretation": "margins follow the rank by count, classes of equal count share theirs; "
        "published code reverses the order of class ids instead",
    },
)
def kps(
    epochs: float = 200,
    margin: float = 0.2,
    scale: float = 15.0,
    base: float = 50.0,
    defer_until: float | None = 0.6,
    largest: float = 50.0,
) -> Recipe:
    """Key-point sensitive loss: scales and margins by the logarithm of the class count.

    From ``defer_until`` on (``None``: never) all logits of a row grow with the rarity of its
    label, to a scale of at most ``largest``.
    """
    loss = part("kps", margin=margin, scale=scale, base=base, after=defer_until, largest=largest)
    return Recipe(head=part("cosine", scale=scale), stages=(Stage(epochs, loss=loss),))
