"""Records of kind `losses` that belong to a head."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "dot_regression",
        "loss",
        "regression of features onto fixed simplex directions",
        "longtail.losses.etf:DotRegression",
        family="classifier",
        reference="Yang et al., NeurIPS 2022",
        tags=("features",),
        details={
            "formula": "(m_y.h - |h|)^2 / (2 |h|), |h| without gradient",
            "effective prior": "no formula gives it",
        },
    ),
)
