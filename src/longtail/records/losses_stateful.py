"""Records of losses whose weights or margins follow what the model shows."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "eqlv2",
        "loss",
        "one-vs-rest, weighted by how much of its gradient a class gets from its own rows",
        "longtail.losses.equalized:EqualizedV2",
        family="reweight",
        reference="Tan et al., CVPR 2021",
        tags=("needs_counts",),
        details={
            "formula": "sum_j w_j BCE(sigmoid(z_j), 1[j = y]), w of accumulated gradients",
            "state": "two sums a class, folded once a step",
        },
    ),
    Record(
        "influence_balanced",
        "loss",
        "each row divided by its influence on the last layer",
        "longtail.losses.influence:InfluenceBalanced",
        family="reweight",
        reference="Park et al., ICCV 2021",
        aliases=("ib", "ib_focal"),
        presets={"ib_focal": {"gamma": 1.0}},
        tags=("features", "shift_invariant"),
        details={
            "formula": "alpha / (|p - onehot(y)|_1 |h|_1 + epsilon) (1 - p_y)^gamma (-log p_y)",
            "reads": "the input of the head",
        },
    ),
    Record(
        "uncertainty_margin",
        "loss",
        "a margin that grows with the measured uncertainty of the class",
        "longtail.losses.uncertain:UncertaintyMargin",
        family="remargin",
        reference="after Khan et al., CVPR 2019",
        tags=("cosine", "needs_counts"),
        details={
            "formula": "cross-entropy with s psi((1 + m_y) theta_y), or s (cos theta_y - m_y), for "
            "the label; m_c = margin u_c",
            "head": "cosine, with the same scale",
        },
    ),
)
