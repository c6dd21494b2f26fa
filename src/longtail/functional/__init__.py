"""Pure tensor arithmetic: weights, margins, losses of rows, mixing, experts, random numbers."""

from longtail.functional.constellation import constellation_cosines
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
from longtail.functional.taxonomy import (
    node_consistency,
    path_sums,
    sampled_cut,
    sampled_tree_loss,
    sibling_log_softmax,
)
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
    "constellation_cosines",
    "cross_entropy",
    "diverse_adjustments",
    "diverse_experts_loss",
    "effective_count",
    "effective_number",
    "exclusive_logsumexp",
    "focal",
    "inverse_frequency",
    "inverse_prior",
    "ldam_margins",
    "margin_cross_entropy",
    "mix",
    "mix_rows",
    "mixed_loss",
    "mixup_weight",
    "node_consistency",
    "paco_loss",
    "path_sums",
    "permutation",
    "sampled_cut",
    "sampled_tree_loss",
    "shuffled",
    "sibling_log_softmax",
    "sigmoid_focal",
    "stream",
    "uniforms",
    "words",
]
