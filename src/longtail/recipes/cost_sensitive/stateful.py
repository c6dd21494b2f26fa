"""Weights and margins that follow what the model shows as it trains."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.registry import part

__all__ = ["area", "cdb", "eqlv2", "influence_balanced", "uncertainty_margin"]


@recipe(
    family="cost_sensitive",
    tier="core",
    reference="Tan et al., CVPR 2021",
    details={
        "what": "One binary classifier a class, whose negatives count less and whose positives "
        "count more the more its accumulated gradient comes from rows of other classes. Rare "
        "classes so stop being pushed down by the common ones, without looking at counts.",
        "formula": "sum_j w_j BCE(sigmoid(z_j), 1[j = y]); rho = g+ / g- of accumulated "
        "w |sigmoid(z) - y|; negatives f(rho) = 1 / (1 + exp(-gamma (rho - mu))), positives "
        "1 + alpha (1 - f(rho))",
        "use": "When training counts are not what classes suffer from (several labels a row, "
        "detectors, streams), or one-vs-rest scores are wanted.",
        "cost": "Two sums of C numbers, kept in the checkpoint and added over ranks once a step; "
        "about three times the time of a softmax loss, no further memory.",
        "composes": "Any sampler, head, mixing of rows, second stage; class weights multiply it.",
        "avoid": "Prior correction of the logits (la_posthoc, balanced softmax heads): its scores "
        "are no softmax, so no prior is known; samplers that already even out the classes.",
    },
)
def eqlv2(epochs: float = 200, gamma: float = 12.0, mu: float = 0.8, alpha: float = 4.0) -> Recipe:
    """Gradient-guided equalization: one-vs-rest, weighted by each class's share of gradients."""
    loss = part("eqlv2", gamma=gamma, mu=mu, alpha=alpha)
    return Recipe(stages=(Stage(epochs, loss=loss),))


@recipe(
    family="cost_sensitive",
    tier="core",
    reference="Sinha et al., ACCV 2020",
    needs=("validation",),
    details={
        "what": "Class weights follow difficulty, one minus the validation accuracy of the class, "
        "and are set anew at every epoch. What is hard now weighs more, whether it is rare or "
        "not.",
        "formula": "w_c ~ max(1 - A_c, 0.001)^tau, mean one, cross-entropy divided by rows; tau a "
        "number, dynamic = sigmoid(max A / (min A + 0.01)), or dynamic_paper = "
        "2 sigmoid(max A / (min A + 0.01) - 1)",
        "use": "When there are validation rows of every class and frequency is a poor guide to "
        "difficulty.",
        "cost": "One pass over the validation rows an epoch, and those rows leave the training "
        "data; C numbers of state.",
        "composes": "Any loss takes weight=difficulty(); any sampler, head, augmentation.",
        "avoid": "A validation part of one row a class: accuracies of 0 or 1 make the weights "
        "jump. Choosing the last model on the same validation rows.",
        "interpretation": "A class without validation rows borrows the mean accuracy of its shot "
        "group; the first epoch of a stage has plain weights. Accuracies are averaged over "
        "epochs, A <- inertia A + (1 - inertia) A_now: without it (inertia=0, the published form) "
        "a class that is right loses its weight, is forgotten within the epoch, and weights "
        "swing.",
    },
)
def cdb(epochs: float = 200, tau: float | str = "dynamic", inertia: float = 0.5) -> Recipe:
    """Class-wise difficulty-balanced loss: weights follow validation accuracy, epoch by epoch."""
    loss = part("cross_entropy", weight=part("difficulty", tau=tau, inertia=inertia))
    return Recipe(stages=(Stage(epochs, loss=loss),), prior="approximate")


@recipe(
    family="cost_sensitive",
    tier="core",
    reference="Park et al., ICCV 2021",
    aliases=("ib", "ib_focal"),
    presets={"ib_focal": {"gamma": 1.0}},
    details={
        "what": "After a first phase of cross-entropy every row is divided by its influence on "
        "the last layer, so that no row bends the decision boundary more than another. Rare "
        "classes get inverse-frequency weights on top.",
        "formula": "w_y alpha / (|p - onehot(y)|_1 |h|_1 + epsilon) (1 - p_y)^gamma (-log p_y) "
        "from start of the stage on, cross-entropy before; w_c ~ 1 / n_c",
        "use": "When a converged model is bent by a few head-class rows; gamma > 0 is the focal "
        "form (ib_focal).",
        "cost": "The sum of absolute features a row; no state.",
        "composes": "Any backbone and head that gives features; weight=deferred(effective_number) "
        "in place of inverse frequency; stronger augmentation.",
        "avoid": "A switch before rare classes are learned: rows not yet fitted lose weight, so in "
        "short runs start later (start=0.8). Noisy labels are not singled out: memorised rows gain "
        "weight. Class-balanced samplers correct the prior a second time.",
        "interpretation": "Published with alpha 1000 and a learning rate cut to 1 % at the switch; "
        "here alpha is 10 and the rate stays, which is the same step for SGD and does not starve "
        "AdamW. The weight has no gradient (detach_weight=false is the published code). The focal "
        "modulator takes the true p_y, not one with the class weight inside.",
    },
)
def influence_balanced(
    epochs: float = 200,
    alpha: float = 10.0,
    epsilon: float = 1e-3,
    gamma: float = 0.0,
    start: float = 0.5,
    detach_weight: bool = True,
) -> Recipe:
    """Influence-balanced loss: rows weigh by one over their pull on the last layer."""
    weight = part("deferred", part("inverse_frequency"), after=start)
    loss = part(
        "influence_balanced",
        alpha=alpha,
        epsilon=epsilon,
        gamma=gamma,
        after=start,
        detach_weight=detach_weight,
        weight=weight,
    )
    return Recipe(stages=(Stage(epochs, loss=loss),))


@recipe(
    family="cost_sensitive",
    tier="extended",
    reference="Chen et al., ICCV 2023",
    details={
        "what": "Class weights are one over the effective area of the class: how many "
        "uncorrelated samples its features are worth. A class whose samples look alike weighs "
        "more than its count says.",
        "formula": "A_c = sum over batches of 1 / (a' R a), R the cosines of the class's centred "
        "features in the batch, a = 1 / m; w_c ~ 1 / A_c, mean one, weighted cross-entropy, from "
        "start of the stage on",
        "use": "When samples within a class repeat each other, so that counts overstate it.",
        "cost": "One pass over the training rows at each late epoch and their features (N x D) in "
        "memory meanwhile; C numbers of state.",
        "composes": "Any loss takes weight=effective_area(); any head, augmentation.",
        "avoid": "Class-balanced samplers, which correct the prior a second time; data whose "
        "features do not fit in memory.",
        "interpretation": "Features are those of eval mode without augmentation, in batches that "
        "seed and epoch decide, of at most an eighth of the rows; m samples in a batch are worth at "
        "most m^2 (opposite ones have no bound in the published form), with cap=true at most m, "
        "which is steadier and close to inverse frequency.",
    },
)
def area(epochs: float = 200, start: float = 0.8, batch: int = 64, cap: bool = False) -> Recipe:
    """Effective-area re-weighting: classes whose features repeat each other weigh more."""
    weight = part("effective_area", after=start, batch=batch, cap=cap)
    loss = part("cross_entropy", weight=weight, reduction="weighted_mean")
    return Recipe(stages=(Stage(epochs, loss=loss),), prior="approximate")


@recipe(
    family="cost_sensitive",
    tier="extended",
    reference="after Khan et al., CVPR 2019",
    details={
        "what": "The head is trained on features under dropout, and once an epoch the variance of "
        "its probabilities over dropout masks says how uncertain each class is. The more "
        "uncertain a class, the larger the margin that its rows must keep.",
        "formula": "u_c = mean over rows of c of sum_j Var_t p_tj, divided by the largest; "
        "angular: s psi((1 + margin u_y) theta_y) for the label, psi the cosine continued so that "
        "it falls; additive: s (cos theta_y - margin u_y); cross-entropy on both",
        "use": "When rare classes are not the only uncertain ones and validation rows are missing.",
        "cost": "One pass of the backbone over the training rows an epoch, and passes runs of the "
        "head on their features (N x D in memory meanwhile); C numbers of state.",
        "composes": "Any sampler, class weights and augmentation; needs a cosine head of the same "
        "scale.",
        "avoid": "Other margins (ldam and kin) and objectives that own the batch.",
        "interpretation": "The paper gives the idea (Bayesian uncertainty by dropout, a large "
        "margin that grows with it); ours are: dropout on the features only, the variance summed "
        "over classes and scaled by the largest class, a real-valued multiplier of 1 to 2, "
        "n_c^-1/2 until the first measurement. The paper's second stage, which draws features "
        "from class Gaussians, is not part of it.",
    },
)
def uncertainty_margin(
    epochs: float = 200,
    margin: float = 0.5,
    scale: float = 30.0,
    form: str = "angular",
    dropout: float = 0.2,
    passes: int = 8,
) -> Recipe:
    """Margins that grow with the predictive variance of a class under dropout."""
    loss = part("uncertainty_margin", margin=margin, scale=scale, form=form)
    objective = part("measured_uncertainty", dropout=dropout, passes=passes)
    return Recipe(
        head=part("cosine", scale=scale), stages=(Stage(epochs, loss=loss, objective=objective),)
    )
