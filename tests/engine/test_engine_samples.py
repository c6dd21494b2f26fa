"""Same samples whatever brings them: resident or streaming, here or in workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from longtail.data import load
from longtail.engine.feed import JoinedStore, StageData, StreamSource, step_sizes
from longtail.engine.runner import RunConfig, fit
from longtail.registry import create


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A long-tailed image folder of three classes."""
    root = tmp_path_factory.mktemp("pictures")
    draw = np.random.default_rng(1)
    for part, counts in (("train", (40, 18, 7)), ("test", (4, 4, 4))):
        for c, n in enumerate(counts):
            place = root / part / f"class{c}"
            place.mkdir(parents=True)
            for i in range(n):
                pixels = draw.integers(0, 120, (8, 8, 3)) + 60 * c
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{i}.png")
    return root


def weights(run: Any) -> torch.Tensor:
    return torch.cat([v.double().flatten() for v in run.network.state_dict().values()])


@pytest.mark.usefixtures("untouched_randomness")
@pytest.mark.parametrize("recipe", ["mixup", "bbn"])
def test_resident_and_streaming_train_the_same(pictures: Path, recipe: str) -> None:
    trained = {}
    for resident, workers in ((True, 0), (False, 0), (False, 2)):
        data = load(pictures, resident=resident)
        assert data.train.store.resident is resident
        config = RunConfig(
            str(pictures), recipe, epochs=2, batch_size=16, backbone="small_cnn",
            workers=workers, device="cpu", progress=False,
        )  # fmt: skip
        trained[resident, workers] = fit(config, data)
    first = trained.pop((True, 0))
    for run in trained.values():
        assert torch.equal(weights(first), weights(run))
        assert run.metrics["test"] == first.metrics["test"]


def test_joined_stores_are_one() -> None:
    data = load("digits-lt", labelled_share=0.3)
    assert data.unlabelled is not None
    joined = JoinedStore((data.train.store, data.unlabelled.store))
    n = len(data.train.store)
    assert len(joined) == n + len(data.unlabelled.store)
    index = torch.tensor([n, 0, n + 3, 5, n - 1])
    rows = joined.fetch(index)
    assert torch.equal(rows[0], data.unlabelled.store.fetch(torch.tensor([0]))[0])
    assert torch.equal(rows[4], data.train.store.fetch(torch.tensor([n - 1]))[0])
    (again,) = joined.batches([index])
    assert torch.equal(again, rows)
    assert joined.fetch(index[:0]).shape == (0, 1, 8, 8)


@pytest.mark.parametrize(("rows", "batch"), [(331, 16), (1, 16), (32, 16), (33, 16), (17, 16)])
def test_steps_of_an_epoch(rows: int, batch: int) -> None:
    sizes = step_sizes(rows, batch)
    assert len(sizes) == -(-rows // batch)
    assert sum(sizes) == rows
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("length", [10, 23, 57])
def test_a_stream_of_another_length_walks_on(length: int) -> None:
    """A sampler over few rows beside a longer one continues through its own passes."""
    labels = torch.tensor([0] * 12 + [1] * 7 + [2] * 4)
    sampler = create("samplers", "instance")
    sampler.bind_labels(labels, 3, 7)
    sampler.epochs = 3
    store: Any = None
    source = StreamSource(StageData(store, torch.arange(23), labels), sampler)
    joined = torch.cat([source.order(e, length) for e in range(4)])
    passes = torch.cat([sampler.draw(e) for e in range(-(-4 * length // 23))])
    assert torch.equal(joined, passes[: 4 * length])
