"""Records of heads with a correction that a second stage learns."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "disalign",
        "heads",
        "linear classifier with magnitudes, margins and a confidence that align its logits",
        "longtail.models.heads.calibrated:DisAlignHead",
        family="classifier",
        reference="Zhang et al., CVPR 2021",
        case={"in_features": 6, "num_classes": 4},
        details={"formula": "s (alpha z + beta) + (1 - s) z, s = sigmoid(v.h + v_0)"},
    ),
    Record(
        "marc",
        "heads",
        "linear classifier with a factor and a norm-sized margin for each class",
        "longtail.models.heads.calibrated:MarcHead",
        family="classifier",
        reference="Wang et al., ACML 2022",
        case={"in_features": 6, "num_classes": 4},
        details={"formula": "omega_c z_c + beta_c |w_c|"},
    ),
)
