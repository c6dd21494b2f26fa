"""Records of kind ``updates``: how gradients become a step."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record("plain", "updates", "one backward, one optimiser step", "longtail.engine.update:Plain"),
    Record(
        "max_norm",
        "updates",
        "a plain step, then rows of the classifier cut to one length",
        "longtail.engine.constraint:MaxNorm",
        reference="Alshammari et al., CVPR 2022",
        details={"formula": "w_c min(1, t / |w_c|), t = min |w| + share (max |w| - min |w|)"},
    ),
)
