"""Adjusters of a run: one after the other, on a known prior, never twice."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longtail.data.dataset import Dataset
from longtail.engine.runner import RunConfig, fit
from longtail.errors import ConfigError
from longtail.posthoc import LogitAdjust, PriorShift
from longtail.posthoc.base import FitData
from longtail.testing.toy import TOY_COUNTS, toy_data
from longtail.types import ClassStats, Outputs

NATURAL = np.array(TOY_COUNTS) / sum(TOY_COUNTS)


def train(recipe: str, *settings: str, data: Dataset | None = None, **options: Any) -> Any:
    config = RunConfig(
        recipe=recipe, set=settings, epochs=2, progress=False, device="cpu", **options
    )
    return fit(config, dataset=data or toy_data())


def test_each_adjuster_is_fitted_on_what_the_one_before_made() -> None:
    run = train("la_posthoc", "adjusters=[tau_norm(tau=2.0), la_posthoc()]", "allow_double=true")
    tau, la = run.adjusters
    split = toy_data().validation
    assert split is not None
    out = run.outputs(split.store.fetch(torch.arange(len(split))))
    seen = Outputs(tau.transform(out), out.features)
    alone = LogitAdjust().fit(FitData(seen, split.labels, run.stats))
    assert float(la.strength) == float(alone.strength)
    raw = LogitAdjust().fit(FitData(out, split.labels, run.stats))
    assert float(raw.strength) != float(alone.strength), "the case tells them apart"


@pytest.mark.parametrize("recipe", ["ldam", "vs", "sade", "focal"])
@pytest.mark.parametrize("adjuster", ["la_posthoc()", "uno_ic()", "prior_shift(target=uniform)"])
def test_an_unknown_prior_is_not_corrected(recipe: str, adjuster: str, tmp_path: Path) -> None:
    """Refused before the first step."""
    output = tmp_path / "run"
    with pytest.raises(ConfigError, match="no formula gives"):
        train(recipe, f"adjusters=[{adjuster}]", output=output)
    assert not (output / "states").exists()


@pytest.mark.parametrize(
    ("recipe", "adjusters"),
    [
        ("balanced_softmax", "[la_posthoc()]"),
        ("class_balanced", "[uno_ic(beta=1.0)]"),
        ("ce", "[la_posthoc(tau=1.0), la_posthoc(tau=1.0)]"),
        ("ce", "[la_posthoc(tau=1.0), uno_ic()]"),
    ],
)
def test_a_second_correction_is_refused_before_training(
    recipe: str, adjusters: str, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    with pytest.raises(ConfigError, match="already trained towards another") as caught:
        train(recipe, f"adjusters={adjusters}", output=output)
    assert "allow_double" in caught.value.do
    assert not (output / "states").exists()
    run = train(recipe, f"adjusters={adjusters}", "allow_double=true")
    assert run.metrics["adjusters"]


def test_what_starts_from_the_features_comes_first() -> None:
    with pytest.raises(ConfigError, match="would be lost"):
        train("ce", "adjusters=[la_posthoc(tau=1.0), tau_norm()]")


def test_after_an_untold_adjuster_no_prior_is_known() -> None:
    with pytest.raises(ConfigError, match="no formula gives"):
        train("ce", "adjusters=[tau_norm(tau=1.0), la_posthoc()]")


def test_smoothed_labels_are_no_posterior() -> None:
    """Division by a small prior would raise what smoothing adds."""
    smooth = "loss=cross_entropy(label_smoothing=0.1)"
    with pytest.raises(ConfigError, match="no formula gives"):
        train("la_posthoc", smooth)
    with pytest.raises(ConfigError, match="is not known"):
        train("ce", smooth, target_prior="uniform")
    assert train("ce", smooth).metrics["effective_prior"] is None


def without_the_last_class() -> Dataset:
    data = toy_data()
    keep = data.train.labels < 3
    rows = torch.nonzero(keep).flatten()
    train = dataclasses.replace(
        data.train,
        store=type(data.train.store)(data.train.store.fetch(rows)),
        labels=data.train.labels[keep],
        ids=[data.train.ids[i] for i in rows.tolist()],
    )
    return dataclasses.replace(data, train=train)


def test_a_class_without_rows_has_its_smoothed_count() -> None:
    data = without_the_last_class()
    smoothed = np.array([21, 10, 6, 1]) / 38
    run = train("ce", data=data)
    np.testing.assert_allclose(run.metrics["effective_prior"], smoothed)
    run = train("la_posthoc", "tau=1.0", data=data)
    np.testing.assert_allclose(run.metrics["effective_prior"], [0.25] * 4)
    run = train("class_balanced", data=data)
    np.testing.assert_allclose(run.metrics["effective_prior"], [0.25] * 4)


def weighted(scale: float) -> Dataset:
    """The toy with sample weights that favour the last class."""
    data = toy_data()
    weight = torch.where(data.train.labels == 3, scale, 1.0)
    return dataclasses.replace(data, train=dataclasses.replace(data.train, weight=weight))


def test_sample_weights_are_counted_once_over_two_runs(tmp_path: Path) -> None:
    moved = NATURAL * np.array([1, 1, 1, 3.0])
    moved /= moved.sum()
    first = train("ce", data=weighted(3.0), output=tmp_path / "ce")
    np.testing.assert_allclose(first.metrics["effective_prior"], moved)
    ruled = train("la_posthoc", "tau=0.0", data=weighted(3.0), start=tmp_path / "ce")
    np.testing.assert_allclose(ruled.metrics["effective_prior"], moved)
    plain = train("la_posthoc", "tau=0.0", start=tmp_path / "ce")
    np.testing.assert_allclose(plain.metrics["effective_prior"], moved)


def test_a_run_with_an_adjuster_gives_the_prior_of_its_network(tmp_path: Path) -> None:
    train("la_posthoc", "tau=1.0", output=tmp_path / "la")
    again = train("la_posthoc", "tau=1.0", start=tmp_path / "la")
    np.testing.assert_allclose(again.metrics["effective_prior"], [0.25] * 4)
    train("balanced_softmax", output=tmp_path / "bs")
    with pytest.raises(ConfigError, match="already trained towards another"):
        train("la_posthoc", start=tmp_path / "bs")
    train("ldam", output=tmp_path / "ldam")
    with pytest.raises(ConfigError, match="no formula gives"):
        train("la_posthoc", "head=cosine", start=tmp_path / "ldam")


def test_a_loop_of_ones_own_may_leave_the_prior_out() -> None:
    stats = ClassStats(TOY_COUNTS)
    part = PriorShift("uniform").fit(FitData(None, None, stats))
    assert "training prior" in part.notes()[0]
    with pytest.raises(ConfigError, match="no formula gives"):
        PriorShift("uniform").fit(FitData(None, None, stats, prior_unknown=True))


def test_a_network_without_a_head_of_its_own_has_no_linear_weights() -> None:
    with pytest.raises(ConfigError, match="one linear head"):
        train("hfl", "adjusters=[tau_norm()]")
    assert train("hfl").metrics["adjusters"] == []
