"""Pure tensor arithmetic: weights, margins, losses of rows, mixing, experts, random numbers."""

from longtail.functional.contrastive import paco_loss
from longtail.functional.experts import (
    bbn_alpha,
    bbn_features,
    bbn_loss,
    diverse_adjustments,
    diverse_experts_loss,
    inverse_prior,
)
from longtail.functional.heads import (
    causal_logits,
    dot_regression,
    etf_lengths,
    gaussian_logits,
    log_bessel,
    simplex_etf,
)
from longtail.functional.losses import (
    bce_on_softmax,
    cross_entropy,
    exclusive_logsumexp,
    focal,
    margin_cross_entropy,
    sigmoid_focal,
)
from longtail.functional.margins import ldam_margins
from longtail.functional.mixing import beta_quantile, mix_rows, mixed_loss, mixup_weight
from longtail.functional.random import mix, permutation, shuffled, stream, uniforms, words
from longtail.functional.weights import (
    effective_count,
    effective_number,
    inverse_frequency,
)

__all__ = [
    "bbn_alpha",
    "bbn_features",
    "bbn_loss",
    "bce_on_softmax",
    "beta_quantile",
    "causal_logits",
    "cross_entropy",
    "diverse_adjustments",
    "diverse_experts_loss",
    "dot_regression",
    "effective_count",
    "effective_number",
    "etf_lengths",
    "exclusive_logsumexp",
    "focal",
    "gaussian_logits",
    "inverse_frequency",
    "inverse_prior",
    "ldam_margins",
    "log_bessel",
    "margin_cross_entropy",
    "mix",
    "mix_rows",
    "mixed_loss",
    "mixup_weight",
    "paco_loss",
    "permutation",
    "shuffled",
    "sigmoid_focal",
    "simplex_etf",
    "stream",
    "uniforms",
    "words",
]
