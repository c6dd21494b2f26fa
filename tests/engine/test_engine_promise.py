"""At fit start the classes that the loader shows are those the sampler's rule promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from longtail import create
from longtail.engine.feed import StageData, StreamSource
from longtail.engine.runner import RunConfig, fit
from longtail.errors import DataError
from longtail.registry import records
from longtail.samplers import ClassBalanced, Instance, Sampler
from longtail.testing.toy import toy_data

NAMES = [r.name for r in records("samplers")]


def source(sampler: Any, labels: torch.Tensor) -> StreamSource:
    return StreamSource(StageData(None, torch.arange(len(labels)), labels), sampler)


def labels_of(counts: list[int]) -> torch.Tensor:
    y = np.repeat(np.arange(len(counts)), counts)
    return torch.from_numpy(np.random.default_rng(0).permutation(y))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "counts", [[1, 1], [100, 10, 1], [500, 300, 90, 20, 7, 2], [3] * 40, [2000] + [5] * 30]
)
def test_every_rule_keeps_its_promise(name: str, counts: list[int]) -> None:
    y = labels_of(counts)
    for seed in range(20):
        sampler = create("sampler", name, labels=y, num_classes=len(counts), seed=seed)
        sampler.epochs = 3
        whole = source(sampler, y)
        whole.check(whole.order(0, len(y)))
        whole.check(whole.order(0, 2 * len(y) + 1))  # rows of self-training make epochs longer
        sampler.check_draws(torch.bincount(y[sampler.draw(2)], minlength=len(counts)).numpy(), 2)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "replay"])
def test_draws_of_another_set_are_refused(name: str) -> None:
    y = labels_of([500, 300, 90, 20, 7, 2])
    sampler = create("sampler", name, labels=labels_of([2, 7, 20, 90, 300, 500]))
    sampler.epochs = 3
    wrong = source(sampler, y)
    with pytest.raises(DataError, match="promises") as caught:
        wrong.check(wrong.order(0, len(y)))
    assert len(str(caught.value).splitlines()) == 2


def test_plain_training_is_checked_exactly() -> None:
    y = labels_of([50, 10])
    seen = np.array([50, 10])
    Instance(labels=y).check_draws(seen, 0)
    for off in ([49, 11], [51, 9]):
        with pytest.raises(DataError, match="promises"):
            Instance(labels=y).check_draws(np.array(off), 0)


def test_the_bound_is_close() -> None:
    """Fires from some 7 standard deviations on, not far beyond."""
    y = labels_of([5000, 5000])
    sampler = ClassBalanced(labels=y)
    deviation = np.sqrt(10_000 / 4)
    for sigmas, fires in ((5.5, False), (8.0, True)):
        off = int(sigmas * deviation)
        seen = np.array([5000 + off, 5000 - off])
        if fires:
            with pytest.raises(DataError):
                sampler.check_draws(seen, 0)
        else:
            sampler.check_draws(seen, 0)


def test_a_fit_with_a_sampler_that_lies_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClassBalanced, "marginal", lambda self, fraction: self.counts / self.size)
    draw = Sampler.draw
    monkeypatch.setattr(
        Sampler, "draw", lambda self, epoch, *a: draw(self, epoch, *a)[:1].expand(self.size)
    )
    config = RunConfig(
        recipe="ce", set=("sampler=class_balanced",), epochs=1, batch_size=16, device="cpu", progress=False
    )  # fmt: skip
    with pytest.raises(DataError, match="ClassBalanced promises"):
        fit(config, dataset=toy_data())
