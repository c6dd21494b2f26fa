"""Names: what is unknown in one kind and known in another is said; parts given by name."""

from __future__ import annotations

import pickle

import pytest
import torch

from longtail import create
from longtail.engine.overrides import resolve_recipe
from longtail.errors import UnknownNameError
from longtail.registry import instantiate, part


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("loss", "cb", "'cb' is a recipe: its loss is cross_entropy(reduction=weighted_mean, weight="),
        ("sampler", "crt", "its sampler is instance(), then class_aware(k=4); see longtail explain"),
        ("objective", "sade", "'sade' is a recipe: its objective is diverse_experts(tau=2.0)"),
        ("recipe", "prior_shift", "'prior_shift' is an adjuster: see longtail explain prior_shift"),
        ("loss", "balanced_sofmax", "did you mean 'balanced_softmax'?"),
    ],
)  # fmt: skip
def test_an_unknown_name_says_where_it_is_known(kind: str, name: str, said: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        create(kind, name)
    first, second = str(caught.value).splitlines()
    assert first == f"there is no {kind} {name!r}"
    assert said in second
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_part_inside_a_part_is_given_by_name() -> None:
    counts, z, y = [9, 3, 1], torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    by_name = create("loss", "cross_entropy", weight="inverse_frequency", class_counts=counts)
    weight = create("weight", "inverse_frequency", class_counts=counts)()
    plain = create("loss", "cross_entropy", weight=weight, class_counts=counts)
    torch.testing.assert_close(by_name(z, y), plain(z, y))
    assert not torch.allclose(by_name(z, y), create("loss", "cross_entropy")(z, y))
    with pytest.raises(UnknownNameError, match="did you mean 'inverse_frequency'"):
        create("loss", "cross_entropy", weight="inverse_frequencies")


def test_an_alias_brings_the_options_it_stands_for() -> None:
    cdt = create("loss", "cdt", class_counts=[100, 10, 1])
    assert (cdt.tau, cdt.gamma) == (0.0, 0.3)
    assert create("loss", "cdt", tau=0.5, class_counts=[100, 10, 1]).tau == 0.5
    assert create("loss", "gcl_angular", class_counts=[9, 1]).form == "angular"
    assert create("loss", "ib_focal", class_counts=[9, 1]).gamma == 1.0
    late = resolve_recipe("drs")
    assert (late.name, late.stages[0].sampler.name) == ("drs", "deferred")
    assert late.stages == resolve_recipe("drw", ["resample=true"]).stages
    assert resolve_recipe("vmf").head.name == "vmf"
    assert resolve_recipe("cb_focal", ["beta=0.99"]).stages[0].loss.kwargs["weight"].kwargs == {
        "beta": 0.99
    }


def test_inner_parts_are_given_by_name() -> None:
    counts = [9, 3, 1]
    late = create("weight", "deferred", inner="effective_number", class_counts=counts)
    late.set_epoch(9, 10)
    own = create("weight", "effective_number", class_counts=counts)
    torch.testing.assert_close(late(), own())
    sampler = create("sampler", "deferred", inner="square_root", labels=[0, 0, 1], num_classes=2)
    assert type(sampler.inner).__name__ == "SquareRoot"
    placed = instantiate("weights", part("deferred", "effective_number"))
    assert type(placed.inner) is type(own)
