"""What the kernel of adjusted logits, and counts, refuse."""

from __future__ import annotations

import pytest
import torch

from longtail.errors import ConfigError, DataError
from longtail.functional import (
    diverse_adjustments,
    effective_number,
    inverse_frequency,
    lade_regulariser,
    ldam_margins,
)
from longtail.functional.adjusted import adjusted_cross_entropy
from longtail.functional.losses import cross_entropy
from longtail.functional.weights import as_counts
from longtail.losses import CrossEntropy, EffectiveNumber, InverseFrequency, LogitAdjusted
from longtail.types import ClassStats

Z, Y = torch.zeros(2, 3), torch.tensor([0, 2])


@pytest.mark.parametrize(
    ("name", "shape"),
    [("offset", (1,)), ("offset", (2,)), ("offset", ()), ("offset", (1, 3)), ("scale", (2, 3)),
     ("label_shift", (3,)), ("row_scale", (1,))],
)  # fmt: skip
def test_constants_that_do_not_fit(name, shape):
    with pytest.raises(DataError, match=r"has shape .*, not \(") as caught:
        adjusted_cross_entropy(Z, Y, **{name: torch.ones(shape)})
    assert len(str(caught.value).splitlines()) == 2
    if name == "offset":
        with pytest.raises(DataError, match="offset"):
            cross_entropy(Z, Y, offset=torch.ones(shape))


@pytest.mark.parametrize("counts", [None, "many", ["a", "b"], [1, None], [[1], [1, 2]]])
def test_counts_that_are_no_numbers(counts):
    for read in (as_counts, ClassStats):
        with pytest.raises(DataError, match="no list of numbers") as caught:
            read(counts)
        assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("value", [None, "much", [1.0, 2.0], float("nan")])
def test_options_that_are_no_numbers(value):
    counts = [9, 3, 1]
    for build in (
        lambda: diverse_adjustments(counts, value),
        lambda: effective_number(counts, value),
        lambda: inverse_frequency(counts, value),
        lambda: ldam_margins(counts, value),
        lambda: ldam_margins(counts, 0.5, value),
        lambda: lade_regulariser(Z, Y, torch.zeros(3), penalty=value),
        lambda: CrossEntropy(label_smoothing=value),
        lambda: LogitAdjusted(value),
        lambda: EffectiveNumber(value),
        lambda: InverseFrequency(value),
    ):
        with pytest.raises(ConfigError) as caught:
            build()
        assert len(str(caught.value).splitlines()) == 2
