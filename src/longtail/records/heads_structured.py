"""Records of heads whose classes share something: displacements, or the nodes of a taxonomy."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "constellation",
        "head",
        "cosine classifier with the same displacements around every class centre",
        "longtail.models.heads_constellation:ConstellationHead",
        family="classifier",
        reference="Liu et al., ICCV 2021",
        case={"in_features": 6, "num_classes": 4},
        tags=("cosine",),
        details={"formula": "z_j = tau max_s cos(h, w_j + d_s), d_0 = 0"},
    ),
    Record(
        "taxonomic",
        "head",
        "scores on the nodes of a taxonomy, summed along the path to each class",
        "longtail.models.heads_taxonomic:TaxonomicHead",
        family="classifier",
        reference="Wu et al., ECCV 2020",
        case={"in_features": 6, "num_classes": 4},
        details={"formula": "z_c = sum of o_n over the nodes on the path to c, o = W h + b"},
    ),
)
