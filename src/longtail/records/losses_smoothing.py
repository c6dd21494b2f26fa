"""Records of losses that smooth labels."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "label_aware_smoothing",
        "losses",
        "cross-entropy whose label smoothing grows with the class count",
        "longtail.losses.smoothing:LabelAwareSmoothing",
        family="reweight",
        reference="Zhong et al., CVPR 2021",
        tags=("needs_counts", "shift_invariant"),
        details={
            "formula": "(1 - e_y) l_y + e_y mean_j l_j, l = -log softmax(z), "
            "e_c = e_tail + (e_head - e_tail) g((n_c - n_min) / (n_max - n_min))",
            "effective prior": "not expressible: the softmax answers to smoothed labels",
        },
    ),
)
