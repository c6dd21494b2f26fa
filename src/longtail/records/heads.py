"""Records of kind `heads`."""

import longtail.records.heads_calibrated
import longtail.records.heads_classifier
import longtail.records.heads_structured  # noqa: F401
from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "linear",
        "head",
        "linear classifier z = W h + b",
        "longtail.models.heads:LinearHead",
        family="classifier",
        case={"in_features": 6, "num_classes": 4},
    ),
    Record(
        "cosine",
        "head",
        "scaled cosine classifier, the scale multiplied in",
        "longtail.models.heads:CosineHead",
        family="classifier",
        case={"in_features": 6, "num_classes": 4},
        tags=("cosine",),
        details={"formula": "z_c = s cos(h, w_c)"},
    ),
    Record(
        "mlp_projector",
        "head",
        "dense layers to a unit-length projection for contrastive losses",
        "longtail.models.heads:MLPProjector",
        family="projector",
        case={"in_features": 6, "num_classes": 4},
        tags=("projector",),
    ),
)
