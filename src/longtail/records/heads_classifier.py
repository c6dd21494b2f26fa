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
        "etf",
        "head",
        "fixed unit vectors of equal angles (simplex ETF), nothing trained",
        _AT + "EtfHead",
        family="classifier",
        reference="Yang et al., NeurIPS 2022",
        case={**_CASE, "scale": 4.0},
        details={"formula": "z_c = s m_c . h, m_c . m_d = -1/(C-1)"},
    ),
    Record(
        "lda",
        "head",
        "linear discriminant analysis of training features; linear while it trains",
        _AT + "LdaHead",
        family="classifier",
        reference="Fisher, Annals of Eugenics 1936",
        case=_CASE,
        tags=("fitted",),
        details={"formula": "z_c = m_c' S^-1 h - m_c' S^-1 m_c / 2, S shrunk and class-balanced"},
    ),
    Record(
        "gaussian_proto",
        "head",
        "Gaussian prototypes: a mean and a width a class",
        _AT + "GaussianHead",
        family="classifier",
        reference="after Snell et al., NeurIPS 2017",
        case={**_CASE, "means": "moving"},
        tags=("moving",),
        details={"formula": "z_c = -|h - m_c|^2 / (2 s_c^2)"},
    ),
    Record(
        "vmf",
        "head",
        "von Mises-Fisher directions: a mean direction and a concentration a class",
        _AT + "VmfHead",
        family="classifier",
        reference="Wang et al., ECCV 2022",
        case=_CASE,
        details={"formula": "z_c = k_c cos(h, m_c) + log C_D(k_c)"},
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
