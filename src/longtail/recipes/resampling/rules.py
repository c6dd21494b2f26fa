"""Class re-balancing: re-sampling by cycles, effective numbers, repeats and a reservoir."""

from __future__ import annotations

from longtail.engine.stage import Recipe, Stage, recipe
from longtail.recipes.resampling.basic import AVOID, COMPOSES
from longtail.registry import part

__all__ = ["class_aware", "effective_number_sampling", "prs", "repeat_factor"]


@recipe(
    family="resampling",
    tier="core",
    reference="after Shen et al., ECCV 2016",
    aliases=("class_aware_sampler",),
    details={
        "what": "Goes through a shuffled cycle of classes and takes the next k rows of each from the "
        "class's own shuffled cycle. Classes come equally often, and of a class no row comes again "
        "before all have come.",
        "formula": "draws v k .. v k + k - 1 are the next k rows of class perm_q(v mod C), "
        "q = floor(v / C); P(class) = 1 / C",
        "use": "instead of class-balanced sampling when every row of a class is to be seen equally "
        "often, and batches are to hold as many classes as they can (k = 1) or several rows a class",
        "cost": "some 30 ns a row for the draw; 4 bytes a row and a few numbers a class are held",
        "composes": COMPOSES + "; contrastive and metric losses, with k of 2 and more",
        "avoid": AVOID
        + "; with k = 4 a batch of B rows holds B / 4 classes only, so small batches with "
        "BatchNorm are better served by k = 1",
        "interpretation": "an epoch is N rows and both kinds of cycle go on over its end, where "
        "published code counts C n_max rows and stops after about N / B steps",
    },
)
def class_aware(epochs: float = 200, k: int = 4) -> Recipe:
    """Class-aware sampling: a cycle of classes, ``k`` rows of each in turn, without replacement."""
    return Recipe(stages=(Stage(epochs, sampler=part("class_aware", k=k)),))


@recipe(
    family="resampling",
    tier="core",
    reference="after Cui et al., CVPR 2019, and Cao et al., NeurIPS 2019",
    aliases=("effective_number",),
    details={
        "what": "Draws each row by the inverse of its class's effective number, so a class comes in "
        "proportion to its count over its effective number. Small classes come almost equally "
        "often; only those of about 1 / (1 - beta) rows and more come oftener.",
        "formula": "P(class c) ~ n_c / E_c, E_c = (1 - beta^n_c) / (1 - beta), then a row of the class",
        "use": "where class-balanced sampling would starve very large classes: choose beta so that "
        "1 / (1 - beta) is the count from which rows of a class repeat each other",
        "cost": "no more than plain training: a draw is some 10 to 15 ns a row, 4 bytes a row are held",
        "composes": COMPOSES,
        "avoid": AVOID + "; beta close to 1 with small classes: it is class-balanced sampling then",
        "interpretation": "the rule that LDAM-DRW means by `Resample`; its code builds the sampler "
        "after the loader and never uses it. The default beta of 0.999 departs from "
        "class-balanced sampling from some hundred rows a class on; theirs is 0.9999",
    },
)
def effective_number_sampling(epochs: float = 200, beta: float = 0.999) -> Recipe:
    """Effective-number sampling: ``P(class c) ~ n_c / E_c``, count over effective number."""
    return Recipe(stages=(Stage(epochs, sampler=part("effective_number", beta=beta)),))


@recipe(
    family="resampling",
    tier="core",
    reference="after Gupta, Dollar and Girshick, CVPR 2019",
    aliases=("rfs",),
    details={
        "what": "Shows every row once a pass and rows of classes below a frequency t again, the more "
        "often the rarer the class. It lifts rare classes without touching common ones.",
        "formula": "r_c = max(1, sqrt(t / f_c)), f_c = n_c / N; a row comes floor(r_c) times a pass "
        "and once more with chance r_c - floor(r_c)",
        "use": "when common classes are to keep all their rows and rare ones are to be lifted "
        "gently; threshold is the frequency below which classes are repeated",
        "cost": "no more than plain training: some 50 ns a row for the draw; 4 bytes a row are held",
        "composes": COMPOSES + "; a mild prior correction on top, as it balances only in part",
        "avoid": AVOID,
        "interpretation": "the chance is dealt out by class: a pass gives floor or ceil of "
        "n_c (r_c - floor r_c) rows, chosen afresh, one more time; an epoch is the next N rows of "
        "such passes. The published t = 0.001 is for LVIS; by default t is the median class "
        "frequency, so that half of the classes are repeated",
    },
)
def repeat_factor(epochs: float = 200, threshold: float | None = None) -> Recipe:
    """Repeat-factor sampling: rows of class ``c`` come ``max(1, sqrt(t / f_c))`` times a pass."""
    sampler = part("repeat_factor", threshold=threshold)
    return Recipe(stages=(Stage(epochs, sampler=sampler),))


@recipe(
    family="resampling",
    tier="seed",
    reference="after Kim, Jeong and Kim, ECCV 2020",
    details={
        "what": "Lets the rows pass by as a stream through a memory that gives every class its share "
        "of the slots, and replays a memory row after each row of the stream. Half of what is "
        "trained on comes as in the data, half with classes as even as the memory can hold them.",
        "formula": "an item of class y enters a full memory of m slots with min(1, m_y / n_y), "
        "m_y = m n_y^rho / sum n^rho; the class that gives up a slot is picked by "
        "softmax(l_i - p_i sum l), l slots held and p shares wanted",
        "use": "for data that come as a stream, or to see what a method for streams makes of a set; "
        "longtail.samplers.Reservoir is the same memory for a loop of one's own",
        "cost": "some 50 microseconds a row of the stream, in order, as each decision follows from the last "
        "(more with thousands of classes); 24 bytes a row",
        "composes": COMPOSES,
        "avoid": AVOID + "; sets of millions of rows in a loop that must not wait: use class_aware",
        "interpretation": "the paper learns from a stream once; here the rows pass by in a new order "
        "every second epoch, the memory starts empty each time, batches hold stream rows and "
        "memory rows by turns, half of each, and an epoch is N of both together",
    },
)
def prs(epochs: float = 200, memory: float = 0.2, rho: float = 0.0) -> Recipe:
    """Partitioning reservoir sampling: a stream of rows, each followed by one of an even memory.

    ``memory`` is the number of slots, or a fraction below 1 of the rows; ``rho = 0`` gives all
    classes equal shares of it, ``rho = 1`` those of the stream.
    """
    return Recipe(stages=(Stage(epochs, sampler=part("replay", memory=memory, rho=rho)),))
