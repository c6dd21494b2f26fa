"""Names: what is unknown in one kind and known in another is said; parts given by name."""

from __future__ import annotations

import pickle

import pytest
import torch

from longtail import create
from longtail.errors import UnknownNameError


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
