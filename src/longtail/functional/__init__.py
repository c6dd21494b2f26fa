"""Pure tensor arithmetic: weights, margins, losses of rows, mixing, random numbers."""

from longtail.functional.losses import (
    bce_on_softmax,
    cross_entropy,
    exclusive_logsumexp,
    focal,
    margin_cross_entropy,
    sigmoid_focal,
)
from longtail.functional.margins import ldam_margins
from longtail.functional.random import mix, permutation, shuffled, stream, uniforms, words
from longtail.functional.weights import (
    effective_count,
    effective_number,
    inverse_frequency,
    normalise,
)

__all__ = [
    "bce_on_softmax",
    "cross_entropy",
    "effective_count",
    "effective_number",
    "exclusive_logsumexp",
    "focal",
    "inverse_frequency",
    "ldam_margins",
    "margin_cross_entropy",
    "mix",
    "normalise",
    "permutation",
    "shuffled",
    "sigmoid_focal",
    "stream",
    "uniforms",
    "words",
]
