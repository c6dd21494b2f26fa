"""Records of kind `losses`."""

import longtail.records.losses_class_sensitive
import longtail.records.losses_heads
import longtail.records.losses_pairwise
import longtail.records.losses_smoothing
import longtail.records.losses_stateful  # noqa: F401
from longtail.registry import Record, part, register

__all__: list[str] = []

register(
    Record(
        "cross_entropy",
        "loss",
        "cross-entropy, with class weights the weighted cross-entropy",
        "longtail.losses.softmax:CrossEntropy",
        family="reweight",
        aliases=("ce",),
        tags=("reduces_to_ce", "shift_invariant", "log_prior"),
        details={
            "formula": "w_y * -log softmax(z)_y",
            "effective prior": "natural times the class weights",
        },
    ),
    Record(
        "focal",
        "loss",
        "focal loss: hard samples count more",
        "longtail.losses.focal:Focal",
        family="reweight",
        reference="Lin et al., ICCV 2017",
        tags=("shift_invariant",),
        details={
            "formula": "w_y * (1 - p_y)^gamma * -log p_y",
            "effective prior": "not expressible for gamma > 0 (no proper loss)",
        },
    ),
    Record(
        "bce_on_softmax",
        "loss",
        "binary cross-entropy on softmax, the form of a widely copied class-balanced port",
        "longtail.losses.focal:BceOnSoftmax",
        family="reweight",
        reference="after Cui et al., CVPR 2019",
        tags=("shift_invariant",),
        details={"formula": "w_y / C * (-log p_y - sum_{j != y} log(1 - p_j))"},
    ),
    Record(
        "ldam",
        "loss",
        "label-distribution-aware margin: rarer classes keep a larger margin",
        "longtail.losses.margin:LDAM",
        family="remargin",
        reference="Cao et al., NeurIPS 2019",
        tags=("cosine", "needs_counts", "shift_invariant"),
        details={
            "formula": "-log softmax(z - s m_y onehot(y))_y, m_c = margin (n_c / n_min)^-1/4",
            "head": "cosine, with the same scale",
        },
    ),
    Record(
        "balanced_softmax",
        "loss",
        "cross-entropy under the training prior",
        "longtail.losses.softmax:BalancedSoftmax",
        family="adjust",
        reference="Ren et al., NeurIPS 2020",
        aliases=("bsce",),
        tags=("reduces_to_ce", "needs_counts", "shift_invariant", "log_prior"),
        details={"formula": "-log softmax(z + log n)_y", "effective prior": "uniform"},
    ),
    Record(
        "la",
        "loss",
        "logit-adjusted training loss",
        "longtail.losses.softmax:LogitAdjusted",
        family="adjust",
        reference="Menon et al., ICLR 2021",
        aliases=("la_loss",),
        tags=("reduces_to_ce", "needs_counts", "shift_invariant", "log_prior"),
        details={
            "formula": "-log softmax(z + tau log prior)_y",
            "effective prior": "prior^(1 - tau): uniform at tau 1",
        },
    ),
    Record(
        "deferred",
        "loss",
        "cross-entropy at first, another loss from a fraction of the stage on",
        "longtail.losses.deferred:DeferredLoss",
        family="schedule",
        reference="after Cao et al., NeurIPS 2019",
        case={"inner": part("focal"), "after": 0.5},
        tags=("shift_invariant",),
        details={
            "formula": "l = inner once epoch >= int(after * epochs), before it first",
            "use": "any margin or offset as a schedule: deferred(ldam(), after=0.8), with a cosine "
            "head of ldam's scale",
        },
    ),
)
