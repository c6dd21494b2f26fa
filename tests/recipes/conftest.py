"""Trained recipes, each trained once a session (once a worker)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.data import Dataset, load
from longtail.engine.runner import RunConfig, fit
from longtail.testing.toy import toy_data

#: ids that train on unlabelled rows beside labelled ones; the default share on built-in sets
SHARE = 0.2


@dataclass(frozen=True)
class Trained:
    """What a training left."""

    logits: Tensor
    target: Tensor
    run: Any

    @property
    def balanced_accuracy(self) -> float:
        right = (self.logits.argmax(1) == self.target).double()
        classes = self.target.unique()
        return float(torch.stack([right[self.target == c].mean() for c in classes]).mean())


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Small networks are fastest on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def _digits(share: float | None) -> Dataset:
    return load("digits-lt", validation=True, labelled_share=share)


def _train(recipe: str, data: Dataset, epochs: int, settings: tuple[str, ...]) -> Trained:
    """Train, and keep the test logits; evaluation itself is left out."""
    assert data.test is not None
    config = RunConfig(
        recipe=recipe, set=settings, epochs=epochs, batch_size=16, device="cpu", progress=False
    )
    run = fit(config, dataset=replace(data, test=None))
    rows = data.test.store.fetch(torch.arange(len(data.test.labels)))
    return Trained(run.predict_logits(rows), data.test.labels, run)


@pytest.fixture(scope="session")
def on_digits() -> Callable[..., Trained]:
    """``on_digits("ldam", share=None)``: four epochs on one and the same digits-lt, seed 0.

    All ids see the same rows: a validation part is cut for each, needed or not.
    """

    @cache
    def train(recipe: str, share: float | None = None) -> Trained:
        return _train(recipe, _digits(share), 4, ())

    return train


@pytest.fixture(scope="session")
def on_toy() -> Callable[..., Trained]:
    """``on_toy("ldam", "loss=cross_entropy")``: five short epochs on four classes, seed 0."""

    @cache
    def train(recipe: str, *settings: str, epochs: int = 5) -> Trained:
        return _train(recipe, toy_data(), epochs, settings)

    return train


@pytest.fixture(scope="session")
def by_command(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """``by_command("ldam", 20)``: ``metrics.json`` of ``longtail train digits-lt`` on one core."""

    @cache
    def train(recipe: str, epochs: int, share: float | None = None) -> dict[str, Any]:
        folder: Path = tmp_path_factory.mktemp("runs") / "run"
        flags = [] if share is None else ["--labelled-share", str(share)]
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        got = subprocess.run(
            [sys.executable, "-m", "longtail", "train", "digits-lt", "--recipe", recipe, "--epochs", str(epochs), "--seed", "0", "--output", str(folder), *flags],
            env={**os.environ, **threads}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert got.returncode == 0, got.stdout[-2000:] + got.stderr[-2000:]
        found = list(folder.rglob("metrics.json"))
        assert len(found) == 1, found
        metrics: dict[str, Any] = json.loads(found[0].read_text("utf-8"))
        return metrics

    return train
