"""Records of kind `heads`: classifiers beyond the linear and the cosine one."""

from longtail.registry import Record, register

__all__: list[str] = []

_AT = "longtail.models.heads:"
_CASE = {"in_features": 6, "num_classes": 4}

register(
    Record(
        "lws",
        "head",
        "linear classifier with one learned scale a class",
        _AT + "ScaledHead",
        family="classifier",
        reference="Kang et al., ICLR 2020",
        case=_CASE,
        details={"formula": "z_c = f_c (w_c . h + b_c), scales f from one"},
    ),
    Record(
        "ncm",
        "head",
        "nearest class mean of training features; linear while it trains",
        _AT + "NearestMeanHead",
        family="classifier",
        reference="Kang et al., ICLR 2020",
        case={**_CASE, "normalise": None},
        tags=("fitted", "choices"),
        details={"formula": "z_c = -|g(h) - m_c|^2, m_c the mean of g(h) over the rows of class c"},
    ),
)
