"""Record of the general pairwise-margin loss."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "la_pairwise",
        "loss",
        "general pairwise-margin loss: a weight for each class, a margin for each pair",
        "longtail.losses.pairwise:PairwiseMargin",
        family="adjust",
        reference="Menon et al., ICLR 2021",
        tags=("reduces_to_ce", "needs_counts", "shift_invariant"),
        details={
            "formula": "w_y log(1 + sum_{k != y} exp(z_k - z_y + D_yk))",
            "margins": "consistent (log w_k prior_k - log w_y prior_y), la, ldam, equalization, "
            "zero, or any (C, C) array with a zero diagonal",
            "effective prior": "uniform with consistent margins",
        },
    ),
)
