"""Records of losses that depend on class counts or confidence: suppression, margins, noise."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "eql",
        "loss",
        "equalization: rare classes that are not the label leave the denominator at random",
        "longtail.losses.suppress:Equalization",
        family="reweight",
        reference="Tan et al., CVPR 2020",
        aliases=("seql",),
        tags=("needs_counts", "shift_invariant", "reduces_to_ce"),
        details={
            "formula": "log sum_j w_j exp z_j - z_y, w_j = 1 - b 1[prior_j < threshold] 1[j != y]",
            "effective prior": "not expressible",
        },
    ),
    Record(
        "seesaw",
        "loss",
        "seesaw: mitigates punishment of rarer classes, compensates for mistaken ones",
        "longtail.losses.suppress:Seesaw",
        family="reweight",
        reference="Wang et al., CVPR 2021",
        tags=("needs_counts", "shift_invariant"),
        details={
            "formula": "-log softmax(z + log S_y)_y, "
            "S_yj = min(1, N_j / N_y)^p max(1, p_j / max(p_y, floor))^q",
            "effective prior": "not expressible",
        },
    ),
    Record(
        "acsl",
        "loss",
        "adaptive class suppression: one-vs-rest, other classes only where confident",
        "longtail.losses.suppress:AdaptiveSuppression",
        family="reweight",
        reference="Wang et al., CVPR 2021",
        details={
            "formula": "sum_j w_j BCE(z_j, 1[j = y]), w_j = 1[j = y or sigmoid(z_j) >= threshold]"
        },
    ),
    Record(
        "vs",
        "loss",
        "vector scaling: temperatures and offsets by class",
        "longtail.losses.remargin:VectorScaling",
        family="remargin",
        reference="Kini et al., NeurIPS 2021",
        aliases=("cdt",),
        presets={"cdt": {"tau": 0.0}},
        tags=("needs_counts", "reduces_to_ce"),
        details={
            "formula": "-log softmax(z / Delta + tau log prior)_y, Delta_c = (n_max / n_c)^gamma",
            "effective prior": "prior^(1 - tau) at gamma 0, else not expressible",
        },
    ),
    Record(
        "elm",
        "loss",
        "LDAM with the margin of the best other class",
        "longtail.losses.remargin:EnlargedMargin",
        family="remargin",
        reference="after Kato and Hotta, arXiv 2306.09132, 2023",
        tags=("cosine", "needs_counts", "shift_invariant", "reduces_to_ce"),
        details={
            "formula": "-log softmax(z + s (strength m_k - m_y) onehot(y))_y, k best other class",
            "head": "cosine, with the same scale",
        },
    ),
    Record(
        "kps",
        "loss",
        "key-point sensitive: scales that grow and margins that shrink with the count",
        "longtail.losses.remargin:KeyPointSensitive",
        family="remargin",
        reference="Li, Cheung and Hu, TPAMI 2023",
        tags=("cosine", "needs_counts"),
        details={
            "formula": "-log softmax(g_y (s_j z_j - scale m_y 1[j = y]))_y, "
            "s_c = log(base n_c / n_min) / log base, m by rank from the other end",
            "head": "cosine, with the same scale",
        },
    ),
    Record(
        "gcl",
        "loss",
        "Gaussian clouded logits: noise on cosines, wider for rarer classes",
        "longtail.losses.clouded:GaussianClouded",
        family="remargin",
        reference="Li, Cheung and Lu, CVPR 2022",
        aliases=("gcl_angular",),
        presets={"gcl_angular": {"form": "angular", "noise_level": 0.1}},
        tags=("cosine", "needs_counts", "shift_invariant", "reduces_to_ce"),
        details={
            "formula": "CE of s (c_j - noise |e| a_j - margin 1[j = y]), times (1 - p_y)^gamma",
            "head": "cosine, with the same scale",
        },
    ),
)
