"""A classifier is taken where its logits stay the same, and refused elsewhere."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from longtail.engine.start_head import adopt, plain_answers, rebuilt
from longtail.errors import CheckpointError
from longtail.models import Head
from longtail.registry import instantiate, part
from longtail.types import ClassStats

FEATURES = 8


def made(name: str, *, moved: bool = True, **options: Any) -> Head:
    """A head with numbers in every parameter and buffer."""
    head: Head = instantiate(
        "heads", part(name, **options), in_features=FEATURES, num_classes=3
    ).eval()
    generator = torch.Generator().manual_seed(4)
    for value in head.parameters() if moved else ():
        value.data.add_(0.3 * torch.rand(value.shape, generator=generator))
    return head


def logits(head: Head) -> torch.Tensor:
    with torch.no_grad():
        return head(torch.linspace(-1, 2, 5 * FEATURES).view(5, FEATURES))


@pytest.mark.parametrize("name", ["linear", "lws", "marc"])
@pytest.mark.parametrize("wanted", ["linear", "lws", "marc", "disalign", "taxonomic", "ncm"])
def test_an_affine_head_is_folded(name: str, wanted: str) -> None:
    mine, theirs = made(wanted, moved=False), made(name)
    assert adopt(mine, theirs)
    torch.testing.assert_close(logits(mine), logits(theirs))
    scales = mine.state_dict().get("scales")
    assert scales is None or torch.equal(scales, torch.ones(3))


def fitted(name: str, *, rows: int = 40, missing: int | None = None, **options: Any) -> Head:
    """A head that was filled from features."""
    head = made(name, **options)
    generator = torch.Generator().manual_seed(5)
    labels = torch.arange(rows) % 3
    labels[labels == missing] = 0
    counts = torch.bincount(labels, minlength=3)
    features = torch.randn(rows, FEATURES, generator=generator) + labels[:, None]
    head.fit(features, labels, ClassStats(counts, on_empty="ignore"))
    return head


@pytest.mark.parametrize("wanted", ["linear", "lws", "marc", "disalign", "ncm", "lda"])
@pytest.mark.parametrize("prior", ["uniform", "natural"])
def test_a_discriminant_is_folded(wanted: str, prior: str) -> None:
    """Gaussians of one covariance answer as a linear classifier does."""
    mine, theirs = made(wanted, moved=False), fitted("lda", prior=prior)
    assert adopt(mine, theirs)
    torch.testing.assert_close(logits(mine), logits(theirs), rtol=1e-4, atol=1e-4)


def test_what_is_fitted_and_not_linear_is_left_alone() -> None:
    for theirs in (fitted("ncm"), fitted("lda", missing=2)):
        mine = made("linear")
        before = copy.deepcopy(mine.state_dict())
        assert not adopt(mine, theirs)
        assert all(torch.equal(v, before[k]) for k, v in mine.state_dict().items())
    assert not adopt(made("linear", bias=False), fitted("lda")), "its offsets would be lost"
    for name in ("vmf", "gaussian_proto", "tde", "cosine", "etf"):
        assert not adopt(made(name), fitted("lda"))


def test_a_bias_that_is_not_there_is_zero() -> None:
    mine, theirs = made("linear"), made("linear", bias=False)
    assert adopt(mine, theirs)
    assert torch.equal(mine.bias.detach(), torch.zeros(3))
    assert not adopt(made("linear", bias=False), made("linear")), "a bias would be lost"


@pytest.mark.parametrize("name", ["vmf", "gaussian_proto", "disalign", "tde", "cosine", "etf"])
def test_another_kind_is_left_alone(name: str) -> None:
    mine, theirs = made("linear"), made(name)
    before = copy.deepcopy(mine.state_dict())
    assert not adopt(mine, theirs)
    assert all(torch.equal(v, before[k]) for k, v in mine.state_dict().items())


@pytest.mark.parametrize("name", ["vmf", "gaussian_proto", "disalign", "tde", "cosine", "etf"])
def test_the_same_kind_is_taken_whole(name: str) -> None:
    mine, theirs = made(name, moved=False), made(name)
    assert adopt(mine, theirs)
    torch.testing.assert_close(logits(mine), logits(theirs))


def test_other_options_are_another_kind() -> None:
    assert not adopt(made("cosine", scale=16.0), made("cosine", scale=30.0))
    assert not adopt(made("tde", heads=2), made("tde", heads=4))


@pytest.mark.parametrize("name", ["lws", "disalign", "marc"])
def test_a_correction_begins_at_the_identity(name: str) -> None:
    mine, theirs = made(name, moved=False), made(name)
    assert adopt(mine, theirs, anew=True)
    assert torch.equal(mine.weight, theirs.weight)
    assert plain_answers(mine)
    assert not plain_answers(theirs)


def test_weights_of_another_head_are_refused() -> None:
    state = made("vmf").state_dict()
    with pytest.raises(CheckpointError, match="not those of a linear head"):
        rebuilt(part("linear"), state, FEATURES, 3)
    theirs = made("tde", heads=4)
    again = rebuilt(part("tde", heads=4), theirs.state_dict(), FEATURES, 3)
    assert torch.equal(again.weight, theirs.weight)
