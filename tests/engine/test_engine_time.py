"""Time: epochs, batches, shares and schedules; and what is measured of a run."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from longtail.engine.runner import RunConfig, default_batch, fit
from longtail.errors import ConfigError
from longtail.registry import instantiate, part
from longtail.schedules import allocate

ROWS = 331  # training samples of digits-lt


@pytest.mark.parametrize(
    ("rows", "batch"),
    [(331, 16), (10, 16), (608, 16), (609, 32), (1216, 32), (1217, 64), (2432, 64), (2433, 128),
     (60000, 128)],
)  # fmt: skip
def test_default_batch_gives_twenty_steps(rows: int, batch: int) -> None:
    assert default_batch(rows) == batch
    allowed = [b for b in (16, 32, 64, 128) if math.ceil(rows / b) >= 20]
    assert batch == max(allowed, default=16)


@pytest.mark.parametrize(
    "recipe",
    ["ce", "ros", "rus", "class_balanced", "square_root", "progressive", "bbn", "meta_weight_net"],
)
def test_an_epoch_is_n_over_b_steps_whatever_the_sampler(recipe: str) -> None:
    run = fit(RunConfig("digits-lt", recipe, epochs=1, batch_size=64, progress=False))
    meta = sum(int(line.split()[0]) for line in run.metrics["notes"] if "meta set" in line[:50])
    rows = ROWS - meta
    streams = 2 if recipe in ("bbn", "meta_weight_net") else 1
    assert (meta > 0) == (recipe == "meta_weight_net")
    assert run.metrics["steps"] == math.ceil(rows / 64)
    assert run.metrics["samples_seen"] == rows * streams
    assert run.metrics["seconds"] > 0
    assert run.metrics["batch_size"] == 64
    assert run.metrics["epochs"] == 1


def test_self_training_counts_labelled_and_unlabelled_rows() -> None:
    run = fit(RunConfig("digits-lt", "pseudo_label", epochs=2, labelled_share=0.5, progress=False))
    assert run.metrics["batch_size"] == default_batch(ROWS)
    assert run.metrics["steps"] == 2 * math.ceil(ROWS / 16)
    assert run.metrics["samples_seen"] == 2 * ROWS


@pytest.mark.parametrize(
    ("total", "shares", "epochs"),
    [
        (100, [90, 10], [90, 10]),
        (10, [90, 10], [9, 1]),
        (5, [90, 10], [4, 1]),
        (2, [90, 10], [1, 1]),
        (1, [90, 10], [1, 1]),
        (7, [1, 1, 1], [3, 2, 2]),
        (20, [160, 40], [16, 4]),
        (3, [1, 100], [1, 2]),
    ],
)
def test_stages_share_the_epochs(total: int, shares: list[float], epochs: list[int]) -> None:
    assert allocate(total, shares) == epochs


def test_shares_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="positive"):
        allocate(3, [1, 0])


def test_crt_shares_epochs_in_its_own_proportions() -> None:
    run = fit(RunConfig("digits-lt", "crt", epochs=3, batch_size=128, progress=False))
    assert run.metrics["epochs"] == 3
    assert run.metrics["steps"] == 3 * math.ceil(ROWS / 128)


def test_schedules_are_fractions_of_a_stage() -> None:
    cosine = instantiate("schedules", part("cosine", warmup=0.1))
    assert cosine(0.05) == pytest.approx(0.5)
    assert cosine(0.1) == pytest.approx(1.0)
    assert cosine(0.55) == pytest.approx(0.5)
    assert cosine(1.0) == pytest.approx(0.0, abs=1e-12)
    steps = instantiate("schedules", part("steps", at=(0.8, 0.9), factor=0.01, warmup=0.0))
    assert [steps(f) for f in (0.5, 0.8, 0.95)] == pytest.approx([1, 0.01, 0.0001])
    assert instantiate("schedules", part("constant"))(0.7) == 1.0
    for f in (0.0, 1e-9):
        assert cosine(f) > 0, "no step is taken at rate zero"


def test_the_rate_falls_within_each_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    from longtail.engine.train import Saver

    seen: list[tuple[int, float]] = []
    monkeypatch.setattr(
        Saver,
        "on_step",
        lambda self, stage, epoch, step, tally: seen.append((stage.number, tally.lr)),
    )
    config = RunConfig(
        "digits-lt", "crt", set=("schedule=cosine(warmup=0.0)", "optimizer=sgd(lr=0.04)",
        "stages.1.schedule=constant", "stages.1.optimizer=sgd(lr=0.02)"),
        epochs=2, batch_size=64, progress=False,
    )  # fmt: skip
    fit(config)
    first = [rate for number, rate in seen if number == 0]
    expected = [0.04 * 0.5 * (1 + math.cos(math.pi * i / 6)) for i in range(6)]
    assert first == pytest.approx(expected)
    assert [rate for number, rate in seen if number == 1] == pytest.approx([0.02] * 6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 0}, "batch-size must be at least 1"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"batch_size": 2, "accumulate": 3}, "2 rows has no 3 micro-batches"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"lr": -1.0}, "lr must be above 0"),
        ({"lr": math.nan}, "lr must be above 0"),
    ],
)
def test_numbers_that_train_nothing_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        fit(RunConfig("digits-lt", "ce", progress=False, **options))
    assert len(str(caught.value).splitlines()) == 2


def test_a_batch_larger_than_the_data_is_the_data() -> None:
    run = fit(RunConfig("digits-lt", "ce", epochs=2, batch_size=4096, progress=False))
    assert run.metrics["steps"] == 2
    assert run.metrics["samples_seen"] == 2 * ROWS


def test_a_clock_reads_the_fraction() -> None:
    from longtail.types import Progress

    clock = Progress(epochs=4, steps=10)
    clock.set(2, 5)
    assert float(clock.fraction) == pytest.approx(25 / 40)
    assert clock.epoch.dtype == torch.int64
