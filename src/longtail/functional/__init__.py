"""Pure tensor arithmetic: weights, margins, losses of rows, mixing, experts, random numbers."""

from longtail.functional.contrastive import paco_loss
from longtail.functional.curriculum import (
    curriculum_exponent,
    easy_anchor_triplets,
    metric_share,
    selection_weights,
)
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
from longtail.functional.meta_sampling import drawn_entry, initial_rates, rated_draw
from longtail.functional.mixing import beta_quantile, mix_rows, mixed_loss, mixup_weight
from longtail.functional.quintuplet import quintuplet_hinges, quintuplet_loss, quintuplet_table
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
    "cross_entropy",
    "curriculum_exponent",
    "diverse_adjustments",
    "diverse_experts_loss",
    "drawn_entry",
    "easy_anchor_triplets",
    "effective_count",
    "effective_number",
    "exclusive_logsumexp",
    "focal",
    "initial_rates",
    "inverse_frequency",
    "inverse_prior",
    "ldam_margins",
    "margin_cross_entropy",
    "metric_share",
    "mix",
    "mix_rows",
    "mixed_loss",
    "mixup_weight",
    "paco_loss",
    "permutation",
    "quintuplet_hinges",
    "quintuplet_loss",
    "quintuplet_table",
    "rated_draw",
    "selection_weights",
    "shuffled",
    "sigmoid_focal",
    "stream",
    "uniforms",
    "words",
]
