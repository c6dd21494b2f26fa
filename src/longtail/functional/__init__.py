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
    image_repeat_factor,
    inverse_frequency,
    repeat_factor,
)

__all__ = [
    "bbn_alpha",
    "bbn_features",
    "bbn_loss",
    "bce_on_softmax",
    "beta_quantile",
    "cross_entropy",
    "diverse_adjustments",
    "diverse_experts_loss",
    "effective_count",
    "effective_number",
    "exclusive_logsumexp",
    "focal",
    "image_repeat_factor",
    "inverse_frequency",
    "inverse_prior",
    "ldam_margins",
    "margin_cross_entropy",
    "mix",
    "mix_rows",
    "mixed_loss",
    "mixup_weight",
    "paco_loss",
    "permutation",
    "repeat_factor",
    "shuffled",
    "sigmoid_focal",
    "stream",
    "uniforms",
    "words",
]
