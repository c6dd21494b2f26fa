"""Pure tensor arithmetic: weights, margins, losses of rows, mixing, experts, random numbers."""

from longtail.functional.constellation import constellation_cosines
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
from longtail.functional.guided import (
    angular_cross_entropy,
    equalized_bce,
    equalizing_weights,
    influence_balanced,
)
from longtail.functional.heads import (
    causal_logits,
    dot_regression,
    etf_lengths,
    gaussian_logits,
    log_bessel,
    simplex_etf,
)
from longtail.functional.lade import lade_regulariser
from longtail.functional.losses import (
    bce_on_softmax,
    cross_entropy,
    exclusive_logsumexp,
    focal,
    margin_cross_entropy,
    sigmoid_focal,
)
from longtail.functional.margins import ldam_margins
from longtail.functional.measured import difficulty_weights, effective_area
from longtail.functional.meta_sampling import drawn_entry, initial_rates, rated_draw
from longtail.functional.mixing import beta_quantile, mix_rows, mixed_loss, mixup_weight
from longtail.functional.pairwise import consistency_gap, pairwise_additive, pairwise_matrix
from longtail.functional.quintuplet import quintuplet_hinges, quintuplet_loss, quintuplet_table
from longtail.functional.random import (
    mix,
    permutation,
    shuffled,
    singles,
    stream,
    uniforms,
    words,
)
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
    image_repeat_factor,
    inverse_frequency,
    repeat_factor,
)

__all__ = [
    "angular_cross_entropy",
    "bbn_alpha",
    "bbn_features",
    "bbn_loss",
    "bce_on_softmax",
    "beta_quantile",
    "causal_logits",
    "consistency_gap",
    "constellation_cosines",
    "cross_entropy",
    "curriculum_exponent",
    "difficulty_weights",
    "diverse_adjustments",
    "diverse_experts_loss",
    "dot_regression",
    "drawn_entry",
    "easy_anchor_triplets",
    "effective_area",
    "effective_count",
    "effective_number",
    "equalized_bce",
    "equalizing_weights",
    "etf_lengths",
    "exclusive_logsumexp",
    "focal",
    "gaussian_logits",
    "image_repeat_factor",
    "influence_balanced",
    "initial_rates",
    "inverse_frequency",
    "inverse_prior",
    "lade_regulariser",
    "ldam_margins",
    "log_bessel",
    "margin_cross_entropy",
    "metric_share",
    "mix",
    "mix_rows",
    "mixed_loss",
    "mixup_weight",
    "node_consistency",
    "paco_loss",
    "pairwise_additive",
    "pairwise_matrix",
    "path_sums",
    "permutation",
    "quintuplet_hinges",
    "quintuplet_loss",
    "quintuplet_table",
    "rated_draw",
    "repeat_factor",
    "sampled_cut",
    "sampled_tree_loss",
    "selection_weights",
    "shuffled",
    "sibling_log_softmax",
    "sigmoid_focal",
    "simplex_etf",
    "singles",
    "stream",
    "uniforms",
    "words",
]
