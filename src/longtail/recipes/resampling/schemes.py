"""Class re-balancing: re-sampling schemes whose draws follow streams, clusters, time or learning."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["bilateral", "dcl", "meta_sampler", "quintuplet"]

_BILATERAL = {
    "what": "Two streams take turns, row by row: one uniform over classes (or over rows), one "
    "reversed, in which a class is the more frequent the rarer it is. One network with one head "
    "is trained by the stage's loss on batches that are half of each.",
    "formula": "P_c = (U_c + R_c) / 2, R_c = (1 / n_c) / sum_j (1 / n_j), U_c = 1 / C "
    "(uniform=classes) or n_c / N (uniform=rows)",
    "use": "when rare classes must be seen often and a single plain network is wanted; the "
    "simplest form of bilateral training",
    "cost": "none beside plain training: steps, memory and time of ce",
    "composes": "any loss, head, augmentation and second stage; deferred schedules of weights",
    "avoid": "class weights or prior-adjusting losses beside it: it over-corrects by itself "
    "already (the effective prior favours rare classes), and the build refuses the pair",
    "interpretation": "the published method gives each stream a branch of its own and moves from "
    "one to the other (recipe bbn); this is its sampling alone, the streams mixed in equal "
    "shares. The published uniform stream is uniform over rows: uniform=rows",
}


@recipe(
    family="resampling",
    tier="seed",
    reference="after Zhou et al., CVPR 2020",
    aliases=("bbn_reversed",),
    details=_BILATERAL,
)
def bilateral(epochs: float = 200, uniform: str = "classes") -> Recipe:
    """Bilateral sampling: half of each batch uniform, half reversed, one network and one head.

    ``uniform`` is over ``classes`` or over ``rows``.
    """
    return Recipe(stages=(Stage(epochs, sampler=part("bilateral", uniform=uniform)),))


_QUINTUPLET = {
    "what": "Each class is clustered in feature space, and every drawn row (the anchor) comes "
    "with four partners: the farthest of its cluster, the nearest of its class in another "
    "cluster, the farthest of its class, the nearest of another class. Cross-entropy of the "
    "anchors is trained together with three hinges that put the four in that order.",
    "formula": "L = CE(z, y) + share ([g1 + d(p+) - d(p-)]_+ + [g2 + d(p-) - d(p--)]_+ + "
    "[g3 + d(p--) - d(n)]_+), d squared Euclidean of unit-length features, g = 0.1, 0.1, 0.2; "
    "round(n_c / size) clusters a class; a class of one cluster keeps [g3 + d(p+) - d(n)]_+",
    "use": "when classes have several modes and rare ones are drowned by near neighbours of "
    "frequent ones; a linear head decides at test time",
    "cost": "a step sees five rows for one, about five times the time of ce; every `every` epochs "
    "a pass over the training rows, k-means inside each class and a search for partners; state: "
    "five integers a row",
    "composes": "any loss of logits for the anchors, any sampler for the anchors, any head",
    "avoid": "mixing of rows (mixup, cutmix): the partners are those of unmixed rows; a frozen "
    "network, whose features the hinges cannot move",
    "interpretation": "the published method has no classifier (nearest clusters decide) and "
    "draws its anchors its own way; here cross-entropy with a linear head decides and anchors "
    "are drawn by n_c^q, class-balanced by default. Margins, cluster size (the smallest count, "
    "10 at least) and the rule for a class of one cluster are ours",
}


@recipe(
    family="resampling",
    tier="seed",
    reference="after Huang et al., CVPR 2016",
    details=_QUINTUPLET,
)
def quintuplet(
    epochs: float = 200,
    q: float = 0.0,
    size: int | None = None,
    share: float = 1.0,
    every: int = 5,
    pool: int = 200,
) -> Recipe:
    """Quintuplet sampling: each anchor with four partners, cross-entropy plus three hinges.

    Anchors are drawn by ``n_c^q``. Clusters have about ``size`` rows and are made anew every
    ``every`` epochs; partners are looked for among ``pool`` rows a class.
    """
    objective = part("quintuplet", size=size, share=share, every=every, pool=pool)
    return Recipe(stages=(Stage(epochs, sampler=part("power", q=q), objective=objective),))


_DCL = {
    "what": "Sampling goes from the natural class distribution to an even one along a schedule, "
    "and the rows of each batch are weighed or left out so that the batch meets that target. A "
    "triplet term with easy anchors of the rare classes leads early and fades, so that features "
    "are learned before classes are evened out.",
    "formula": "P_c ~ n_c^g(t); L = (1/B) sum w_i l_i + f(t) L_triplet; w_c = D_c / B_c with "
    "D_c = n_c^g(t), both relative to the rarest class of the batch, and below one a row is kept "
    "with chance w_c; g: linear 1 - t, convex cos(pi t / 2), concave left^t, composite "
    "(1 + cos(pi t)) / 2; f = (1 + cos(pi t)) / 2 + floor up to t = until, then floor",
    "use": "when a plain balanced sampler hurts frequent classes or early features; a gentler "
    "way to an even distribution",
    "cost": "that of ce and one B x B distance matrix a step; no state but the clock",
    "composes": "any loss that is not adjusted to the prior, any head, a second stage",
    "avoid": "class weights, prior-adjusting losses and mixing of rows (mixup, cutmix): the "
    "target distribution already ends even, and a mixed row has no single class to be weighed by",
    "interpretation": "the published method draws batches naturally and only weighs them; here "
    "the sampler follows the schedule and the weights remove what is left of a batch's chance. "
    "Minority classes are the rarest that together hold at most half of the training rows; "
    "t = e / (T - 1); until, floor, margin and the number of anchors are ours",
}


@recipe(family="resampling", tier="core", reference="after Wang et al., ICCV 2019", details=_DCL)
def dcl(
    epochs: float = 200,
    schedule: str = "composite",
    until: float = 0.3,
    floor: float = 0.01,
    margin: float = 0.2,
) -> Recipe:
    """Dynamic curriculum learning: from natural to even classes, and from features to classes.

    ``schedule`` is ``linear``, ``convex``, ``concave`` or ``composite``.
    """
    objective = part(
        "dynamic_curriculum", schedule=schedule, until=until, floor=floor, margin=margin
    )
    sampler = part("curriculum", schedule=schedule)
    return Recipe(stages=(Stage(epochs, sampler=sampler, objective=objective),))


_META = {
    "what": "After plain training the network is frozen and a fresh head is trained with balanced "
    "softmax on rows drawn at learned class rates. The rates follow the gradient of the "
    "cross-entropy that a virtually updated head has on class-balanced batches.",
    "formula": "P(c) ~ n_c sigmoid(omega_c), drawn by a straight-through Gumbel softmax over "
    "classes; w' = w - lr grad (1/B) sum s_i l_i with l = CE(z + log prior); "
    "omega <- Adam(lr 0.01)(grad CE_balanced(w')), kept within +-15; then the ordinary step on "
    "the drawn rows; sigmoid(omega) begins at pi^-power / (min + max)",
    "use": "when balanced softmax alone over- or under-corrects, typically with very rare classes",
    "cost": "the first stage is that of ce; in the second, features are computed once and a step "
    "costs about three of the head; state: C rates and their Adam moments",
    "composes": "any first stage (give it with --from), any head without state of its own",
    "avoid": "a trained backbone in the second stage, which is refused; further class weights or "
    "samplers: the rates are there to find that balance; compiling the step",
    "interpretation": "rows are drawn over classes and then within the class, the same "
    "distribution as published draws over all rows; they are not augmented. The balanced "
    "batches are those of the stage's sampler, from the training rows, nothing held out. The "
    "second stage takes 30 of 100 epochs, so that short runs move the head as well",
}


@recipe(
    family="resampling",
    tier="core",
    reference="Ren et al., NeurIPS 2020",
    aliases=("bals_meta",),
    details=_META,
)
def meta_sampler(
    epochs: float = 70,
    retrain: float = 30,
    power: float = 0.0,
    temperature: float = 1.0,
    cache: int | None = 0,
) -> Recipe:
    """Balanced meta-softmax: a balanced softmax head on rows drawn at learned class rates.

    Stage 2 freezes the network and draws the head anew. Its sampler draws the balanced batches
    that teach the rates, not the rows that the head is trained on; so that both it and the loss
    know the class prior is meant, and no formula gives the prior of what comes out.
    """
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
