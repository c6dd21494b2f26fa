"""Records of kind `weights`."""

import longtail.records.weights_measured  # noqa: F401
from longtail.registry import Record, part, register

__all__: list[str] = []

register(
    Record(
        "uniform",
        "weight",
        "one for every class",
        "longtail.losses.weights:Uniform",
        tags=("needs_counts",),
        details={"formula": "w_c = 1"},
    ),
    Record(
        "inverse_frequency",
        "weight",
        "inverse class frequency to a power, of mean one",
        "longtail.losses.weights:InverseFrequency",
        tags=("needs_counts",),
        details={"formula": "w_c ~ n_c^-power"},
    ),
    Record(
        "effective_number",
        "weight",
        "inverse effective number of samples, of mean one",
        "longtail.losses.weights:EffectiveNumber",
        reference="Cui et al., CVPR 2019",
        aliases=("cb_weights",),
        tags=("needs_counts",),
        details={"formula": "w_c ~ (1 - beta) / (1 - beta^n_c)"},
    ),
    Record(
        "deferred",
        "weight",
        "uniform at first, another weight from a fraction of the stage on",
        "longtail.losses.weights:Deferred",
        reference="Cao et al., NeurIPS 2019",
        case={"inner": part("effective_number", beta=0.999)},
        aliases=("drw",),
        tags=("needs_counts",),
        details={"formula": "w = inner once epoch >= int(after * epochs), before it ones"},
    ),
)
