"""No two ids do the same thing, and each id does what cross-entropy does not."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from longtail.registry import records

IDS = [r.name for r in records("recipes")]
SELF_TRAINING = {r.name for r in records("recipes") if "unlabelled" in r.needs}
SHARE = 0.2

SWAPS = [
    importlib.import_module(f"tests.recipes.swaps.{path.stem}")
    for path in sorted((Path(__file__).parent / "swaps").glob("[!_]*.py"))
]
#: pairs that the specifications state to be one method: why
IDENTITIES: dict[frozenset[str], str] = {
    pair: why for m in SWAPS for pair, why in m.IDENTITIES.items()
}
#: id -> settings that put plain cross-entropy in the place of its formula, all else kept
AS_CE: dict[str, tuple[str, ...]] = {k: v for m in SWAPS for k, v in m.AS_CE.items()}
#: parts of a method made of two: each must matter on its own
PIECES: list[tuple[str, str]] = [piece for m in SWAPS for piece in m.PIECES]


def equal(a: Any, b: Any) -> bool:
    return torch.allclose(a.logits, b.logits, rtol=0, atol=1e-4)


def test_no_two_ids_alike(on_digits: Callable[..., Any]) -> None:
    trained = {(name, None): on_digits(name) for name in IDS if name not in SELF_TRAINING}
    for name in sorted(SELF_TRAINING | {"ce"}):
        trained[name, SHARE] = on_digits(name, SHARE)
    assert len({name for name, _ in trained}) == len(IDS) >= 25
    for one, other in itertools.combinations(trained, 2):
        pair = frozenset({one[0], other[0]})
        if pair not in IDENTITIES:
            assert not equal(trained[one], trained[other]), f"{one} and {other} are one method"


@pytest.mark.parametrize("pair", IDENTITIES, ids=lambda pair: "-".join(sorted(pair)))
def test_identities_hold(pair: frozenset[str], on_digits: Callable[..., Any]) -> None:
    one, other = (on_digits(name) for name in sorted(pair))
    torch.testing.assert_close(one.logits, other.logits, rtol=0, atol=0.2)
    assert abs(one.balanced_accuracy - other.balanced_accuracy) < 0.01
    assert len(IDENTITIES[pair]) > 20


def test_every_id_has_a_replacement() -> None:
    assert set(AS_CE) == set(IDS) - {"ce"}


@pytest.mark.parametrize("name", AS_CE)
def test_cross_entropy_in_its_place_is_another_method(
    name: str, on_toy: Callable[..., Any]
) -> None:
    """Fails when the id's formula is cross-entropy's: then both runs end alike."""
    assert not equal(on_toy(name), on_toy(name, *AS_CE[name]))


@pytest.mark.parametrize(("name", "setting"), PIECES, ids=lambda v: v.replace(".", "_"))
def test_every_piece_matters(name: str, setting: str, on_toy: Callable[..., Any]) -> None:
    assert not equal(on_toy(name), on_toy(name, setting))


def test_the_same_run_is_equal_to_itself(on_toy: Callable[..., Any]) -> None:
    """The comparison would see equality: spelled-out defaults change nothing."""
    assert equal(on_toy("ce"), on_toy("ce", "loss=cross_entropy"))
    assert equal(on_toy("ce"), on_toy("ce", "loss=focal(gamma=0.0)"))
    assert equal(on_toy("ce"), on_toy("class_balanced", "sampler=instance"))
    assert equal(on_toy("ce"), on_toy("la", "stages.0.loss.tau=0.0"))
