"""A loss that takes over late."""

from __future__ import annotations

import pytest
import torch
from tests.losses.rare import COUNTS, make, rows_of_numbers

from longtail import create
from longtail.errors import ConfigError
from longtail.losses import LDAM, CrossEntropy
from longtail.registry import part


@pytest.mark.parametrize("reduction", ["mean", "weighted_mean", "none"])
def test_a_deferred_margin(reduction: str) -> None:
    """Cross-entropy before the switch, the margin from then on, class weights included."""
    z, y, _ = rows_of_numbers()
    inner = part("ldam", scale=4.0, weight=part("effective_number", beta=0.9))
    loss = make("deferred", COUNTS, reduction, inner=inner, after=0.5)
    assert loss.scale == 4.0
    late = make("ldam", COUNTS, reduction, scale=4.0, weight=part("effective_number", beta=0.9))
    for epoch, expected in enumerate([make("cross_entropy", COUNTS, reduction)] * 2 + [late] * 2):
        loss.set_epoch(epoch, 4)
        torch.testing.assert_close(loss(z, y), expected(z, y))
        soft = torch.full_like(z, 0.2)
        torch.testing.assert_close(loss(z, soft), expected(z, soft))


def test_parts_by_name_and_a_first_loss_of_ones_own() -> None:
    z, y, _ = rows_of_numbers()
    loss = create("loss", "deferred", inner="la", first="focal", after=0.5, class_counts=COUNTS)
    loss.set_epoch(0, 2)
    torch.testing.assert_close(loss(z, y), create("loss", "focal")(z, y))
    assert loss.prior_offset() is None
    loss.set_epoch(1, 2)
    torch.testing.assert_close(loss(z, y), create("loss", "la", class_counts=COUNTS)(z, y))
    torch.testing.assert_close(loss.prior_offset(), loss.inner.prior_offset())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"inner": part("eqlv2")}, "cannot switch"),
        ({"inner": part("gcl")}, "cannot switch"),
        ({"inner": part("ldam", scale=4.0), "first": part("kps", scale=8.0)}, "scales"),
        ({"inner": part("focal", reduction="sum")}, "give it to the whole"),
        ({"inner": 3}, "needs a loss"),
        ({"inner": part("focal"), "after": 2.0}, "lie in"),
    ],
)
def test_what_cannot_be_deferred(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        create("loss", "deferred", **options)


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        ("loss", "deferred", {"inner": "focal"}),
        ("loss", "vs", {}),
        ("loss", "kps", {}),
        ("loss", "influence_balanced", {}),
        ("weight", "deferred", {"inner": "inverse_frequency"}),
        ("weight", "effective_area", {}),
        ("sampler", "deferred", {}),
    ],
)
def test_a_switch_that_never_comes_is_refused(
    kind: str, name: str, options: dict[str, object]
) -> None:
    with pytest.raises(ConfigError, match="the stage ends before the switch") as error:
        create(kind, name, after=1.0, **options)
    assert str(error.value).count("\n") == 1
    create(kind, name, after=0.99, **options)


def test_a_scale_above_the_largest_of_rare_rows() -> None:
    """The message names the scale; without late growth there is nothing to bound."""
    with pytest.raises(ConfigError, match="scale=60 is above largest=50"):
        create("loss", "kps", scale=60.0)
    create("loss", "kps", scale=60.0, largest=60.0)
    assert create("loss", "kps", scale=60.0, after=None, class_counts=[9, 1]).gains.min() == 1


def test_a_loss_in_it_keeps_its_place() -> None:
    loss = create("loss", "deferred", inner="ldam", class_counts=[9, 3, 1])
    assert isinstance(loss.inner, LDAM)
    assert isinstance(loss._live(), CrossEntropy | LDAM)
    assert loss.inner.stats is loss.stats
