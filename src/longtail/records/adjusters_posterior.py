"""Adjuster that re-calibrates the posterior."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "uno_ic",
        "adjusters",
        "posterior re-calibration: part of the way to a target prior, as far as is most likely",
        "longtail.posthoc.recalibration:Recalibration",
        family="prior",
        reference="after Tian et al., NeurIPS 2020",
        case={"beta": 1.0},
        tags=("identity_on_uniform_counts", "logits"),
        details={
            "formula": "q^(1 - beta) (q target / prior)^beta, normalised",
            "when": "after plain cross-entropy, when probabilities matter as much as decisions",
            "defaults": "beta by the class-balanced likelihood of validation labels; 1 without",
        },
    ),
)
