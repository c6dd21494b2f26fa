"""Records of class weights that are measured anew at every epoch."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "difficulty",
        "weight",
        "one minus validation accuracy to a power, measured at every epoch",
        "longtail.losses.measured:Difficulty",
        reference="Sinha et al., ACCV 2020",
        needs=("validation",),
        tags=("needs_counts",),
        details={"formula": "w_c ~ max(1 - A_c, 0.001)^tau"},
    ),
    Record(
        "effective_area",
        "weight",
        "one over the effective area of a class's features, measured at late epochs",
        "longtail.losses.measured:EffectiveArea",
        reference="Chen et al., ICCV 2023",
        tags=("needs_counts",),
        details={"formula": "w_c ~ 1 / A_c, A_c = sum over batches of 1 / (a' R a)"},
    ),
)
