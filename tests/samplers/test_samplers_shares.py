"""Slices, shares of ranks and late starts are parts of one and the same list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.engine.test_engine_ranks import torchrun
from tests.samplers.ranked_draws import ROWS, drawn, labels

from longtail import create
from longtail.errors import LongtailError
from longtail.registry import records
from longtail.samplers import Sampler

pytestmark = pytest.mark.usefixtures("untouched_randomness")

NAMES = [r.name for r in records("samplers")]
IN_PARTS = [n for n in NAMES if n != "replay"]


def make(name: str, y: Any, **options: Any) -> Any:
    sampler = create("sampler", name, labels=y, seed=3, **options)
    sampler.epochs = 4
    return sampler


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    done = torchrun([str(Path(__file__).with_name("ranked_draws.py")), str(folder)])
    assert done.returncode == 0, done.stdout[-4000:]
    found: list[dict[str, Any]] = json.loads((folder / "drawn.json").read_text())
    return found


@pytest.mark.parametrize("name", NAMES)
def test_two_gloo_ranks_draw_what_one_process_draws(
    name: str, two_ranks: list[dict[str, Any]]
) -> None:
    for number, epoch in enumerate((0, 3)):
        parts = [rank[name]["drawn"][number] for rank in two_ranks]
        whole = drawn(name, 0, 1, epoch)
        assert sorted(parts[0] + parts[1]) == sorted(whole)
        for rank in (0, 1):
            assert parts[rank] == whole[rank::2]
    for rank in two_ranks:  # neither made the other's draws
        assert rank[name]["made"] == sum(map(len, rank[name]["drawn"]))
        assert rank[name]["late"] == rank[name]["drawn"][1][30:]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_and_late_starts_are_parts_of_the_list(name: str, ranks: int) -> None:
    whole = drawn(name, 0, 1, 2)
    for rank in range(ranks):
        assert drawn(name, rank, ranks, 2) == whole[rank::ranks]
        assert drawn(name, rank, ranks, 2, 11) == whole[rank::ranks][11:]
    padded = make(name, labels(), num_replicas=ranks, rank=ranks - 1, pad=True)
    for start in (0, 5, len(padded) - 1, len(padded), len(padded) + 3):
        padded.set_epoch(2, start)
        assert len(list(padded)) == len(padded)


@pytest.mark.parametrize("name", NAMES)
def test_a_slice_is_part_of_the_list(name: str) -> None:
    counts = [700, 300, 120, 47, 20, 9, 4, 2, 1]
    y = np.repeat(np.arange(len(counts)), counts)
    sampler, fresh = make(name, y), make(name, y)
    for epoch in (0, 3):
        whole = sampler.draw(epoch)
        for cut in (slice(0, 1), slice(1202, 1203), slice(17, 400), slice(0, 0), slice(500, 1203)):
            for step in (1, 2, 3, 4, 7, 64):
                part = fresh.draw(epoch, cut.start, cut.stop, step)
                assert torch.equal(part, whole[cut.start : cut.stop : step])


@pytest.mark.parametrize("name", [*IN_PARTS])
def test_slices_of_long_lists(name: str) -> None:
    """Beyond the sizes from which lists are no longer sorted, and over the ends of pieces."""
    c = 5000
    y = np.repeat(np.arange(c), np.maximum(1, 200 * np.exp(-5 * np.arange(c) / c)).astype(int))
    n = len(y)
    assert n > 1 << 17
    sampler = make(name, np.random.default_rng(0).permutation(y))
    whole = sampler.draw(1)
    for start, stop, step in ((0, n, 3), (65_530, 65_540, 1), (100_001, 140_000, 1), (n - 9, n, 4)):
        assert torch.equal(sampler.draw(1, start, stop, step), whole[start:stop:step])


@pytest.mark.parametrize("name", IN_PARTS)
def test_the_share_costs_a_share(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    sampler = make(name, labels(), num_replicas=4, rank=1)
    rows = type(sampler).rows
    monkeypatch.setattr(
        type(sampler), "rows", lambda s, e, span: asked.append(len(span)) or rows(s, e, span)
    )
    monkeypatch.setattr(Sampler, "positions", lambda *a: pytest.fail("a whole epoch was drawn"))
    mine = list(sampler)
    assert sum(asked) == len(mine) == -(-(ROWS - 1) // 4)


@pytest.mark.parametrize(
    "bad", [{"start": -1}, {"stop": ROWS + 1}, {"start": 9, "stop": 8}, {"step": 0}]
)
def test_parts_that_do_not_exist(bad: dict[str, int]) -> None:
    sampler = make("class_balanced", labels())
    with pytest.raises(LongtailError) as caught:
        sampler.draw(0, **bad)
    assert len(str(caught.value).splitlines()) == 2
    with pytest.raises(LongtailError):
        sampler.set_epoch(0, -1)


def test_a_class_absent_from_a_shard_says_to_give_all_labels() -> None:
    shard = [0, 0, 2, 2]  # class 1 went to another process
    with pytest.raises(LongtailError, match="give every process the labels of all rows") as caught:
        make("class_balanced", shard, num_replicas=2, rank=1)
    assert len(str(caught.value).splitlines()) == 2


def test_what_a_sampler_holds() -> None:
    """Four bytes a row."""
    y = np.random.default_rng(0).integers(0, 50, 200_000).astype(np.uint8)
    for name in IN_PARTS:
        sampler = make(name, y)
        sampler.draw(0)
        held = [v.nbytes for v in vars(sampler).values() if isinstance(v, np.ndarray)]
        assert sum(held) <= 4 * len(y) + 50 * 8 * 12, name
