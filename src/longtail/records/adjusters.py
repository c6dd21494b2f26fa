"""Records of kind `adjusters`."""

import longtail.records.adjusters_posterior  # noqa: F401
from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "la_posthoc",
        "adjusters",
        "post-hoc logit adjustment: subtracts tau times the log training prior",
        "longtail.posthoc.logit_adjust:LogitAdjust",
        family="prior",
        reference="Menon et al., ICLR 2021",
        case={"tau": 1.0},
        aliases=("logit_adjustment_posthoc",),
        tags=("identity_on_uniform_counts", "logits"),
        details={
            "formula": "z_c - tau log prior_c",
            "when": "after plain cross-entropy; tau is chosen on validation data in seconds",
            "defaults": "tau from 0, 0.1, ..., 2 on validation; 1 without",
        },
    ),
    Record(
        "tau_norm",
        "adjusters",
        "tau-normalised classifier: head rows divided by their norm to the power tau",
        "longtail.posthoc.tau_norm:TauNorm",
        family="classifier",
        reference="Kang et al., ICLR 2020",
        case={"tau": 1.0},
        needs=("linear_head",),
        tags=("features",),
        details={
            "formula": "w_c . h / |w_c|^tau, bias dropped",
            "when": "after instance-balanced training with SGD; no effect on cosine heads",
        },
    ),
    Record(
        "prior_shift",
        "adjusters",
        "moves the logits from the prior the model answers to, to a target prior",
        "longtail.posthoc.prior:PriorShift",
        family="prior",
        reference="Saerens et al., Neural Computation 2002",
        case={"target": "uniform"},
        aliases=("pc_softmax",),
        tags=("identity_on_uniform_counts", "logits"),
        details={
            "formula": "z_c - log effective_c + log target_c",
            "when": "the class mix of use is known and differs from the trained one",
        },
    ),
)
