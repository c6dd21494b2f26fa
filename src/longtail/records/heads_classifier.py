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
        "tde",
        "head",
        "causal classifier: what points along the mean feature is taken out at test time",
        _AT + "CausalHead",
        family="classifier",
        reference="Tang et al., NeurIPS 2020",
        case=_CASE,
        tags=("moving", "choices"),
        details={
            "formula": "z_c = s/K sum_k <x_k, w_ck/(|w_ck|+gamma)>, x_k = h_k/|h_k|, at test less "
            "alpha cos(h_k, d_k) d_k/|d_k|"
        },
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
