"""Comparison: means and deviations over seeds, paired differences, words that do not overstate."""

from __future__ import annotations

import json

import numpy as np
import pytest

from longtail.errors import ConfigError, DataError, UnknownNameError
from longtail.reports import compare_runs, leaderboard, read_run


@pytest.fixture
def folders(make_run):
    skills = {"focal": 0.2, "ce": 0.2, "la": 0.6}
    return [
        make_run(f"{name}-{seed}", recipe=name, seed=seed, skill=skill)
        for name, skill in skills.items()
        for seed in range(3)
    ]


def test_standings_are_means_over_seeds(folders):
    runs = [read_run(f) for f in folders]
    found = compare_runs(runs)
    assert found.baseline == "ce"
    assert found.standings[0].recipe == "la"
    for standing in found.standings:
        values = [run.test["balanced_accuracy"] for run in standing.runs]
        assert standing.mean["balanced_accuracy"] == pytest.approx(np.mean(values))
        assert standing.deviation["balanced_accuracy"] == pytest.approx(np.std(values, ddof=1))
        low, high = standing.interval["balanced_accuracy"]
        assert low < standing.mean["balanced_accuracy"] < high
        np.testing.assert_allclose(
            standing.recall, np.mean([run.recall for run in standing.runs], axis=0)
        )


def test_differences_are_paired_and_their_words_are_plain(folders):
    found = compare_runs([read_run(f) for f in folders])
    means = {s.recipe: s.mean for s in found.standings}
    for metric, rows in found.differences.items():
        assert [d.recipe for d in rows] == ["focal", "la"]
        for d in rows:
            assert d.delta == pytest.approx(means[d.recipe][metric] - means["ce"][metric])
            assert d.p <= d.p_holm <= 1
    words = {d.recipe: d.verdict for d in found.differences["balanced_accuracy"]}
    assert words == {"focal": "within noise", "la": "better"}
    assert set(found.differences) == {"balanced_accuracy", "few", "accuracy"}


def test_rows_are_paired_by_id_and_not_by_place(folders):
    first = compare_runs([read_run(f) for f in folders])
    with np.load(folders[-1] / "predictions.npz") as stored:
        arrays = dict(stored)
    order = np.random.default_rng(0).permutation(len(arrays["ids"]))
    np.savez(folders[-1] / "predictions.npz", **{k: v[order] for k, v in arrays.items()})
    again = compare_runs([read_run(f) for f in folders])
    assert again.differences == first.differences


def test_the_baseline_can_be_named(folders):
    runs = [read_run(f) for f in folders]
    assert compare_runs(runs, baseline="la").baseline == "la"
    assert compare_runs([r for r in runs if r.recipe != "ce"]).baseline == "focal"
    with pytest.raises(UnknownNameError, match="did you mean 'focal'"):
        compare_runs(runs, baseline="focl")


def test_runs_of_one_recipe_are_told_apart_by_what_differs(make_run):
    folders = [
        make_run(f"la{tau}-{seed}", recipe="la", seed=seed) for tau in (1.0, 2.0) for seed in (0, 1)
    ]
    for folder in folders[2:]:
        info = json.loads((folder / "run.json").read_text())
        info["identity"]["recipe"]["options"]["tau"] = 2.0
        info["identity"]["recipe"]["stages"][0]["loss"]["options"] = {"tau": 2.0}
        (folder / "run.json").write_text(json.dumps(info))
    found = compare_runs([read_run(f) for f in folders])
    assert {s.recipe: len(s.runs) for s in found.standings} == {
        "la (tau=1.0)": 2,
        "la (tau=2.0)": 2,
    }


def test_runs_of_other_data_are_refused(make_run):
    a = read_run(make_run("a", recipe="ce"))
    with pytest.raises(DataError, match="different classes"):
        compare_runs([a, read_run(make_run("b", recipe="la", classes=9))])
    with pytest.raises(DataError, match="different rows"):
        compare_runs([a, read_run(make_run("c", recipe="la", per_class=20))])


def test_notes_say_what_the_numbers_leave_out(make_run):
    a, b = make_run("a", recipe="ce"), make_run("b", recipe="la", without=["predictions.npz"])
    metrics = json.loads((b / "metrics.json").read_text())
    metrics["data"]["fingerprint"] = "other"
    metrics["steps"] = 1
    (b / "metrics.json").write_text(json.dumps(metrics))
    found = compare_runs([read_run(a), read_run(b)])
    text = " ".join(found.notes)
    assert found.differences == {}
    for part in ("fingerprints differ", "one seed", "Without predictions.npz", "optimiser steps"):
        assert part in text


def test_the_same_seed_twice_is_said(make_run):
    found = compare_runs([read_run(make_run(n, recipe="ce", seed=1)) for n in "ab"])
    assert any("same seed" in note for note in found.notes)


def test_a_comparison_is_plain_data(folders):
    found = compare_runs(folders)
    data = json.loads(json.dumps(found.to_data(), allow_nan=False))
    assert [s["recipe"] for s in data["standings"]] == [s.recipe for s in found.standings]
    assert data["standings"][0]["seeds"] == [0, 1, 2]
    assert {d["verdict"] for d in data["differences"]["few"]} <= {
        "better", "worse", "within noise", "cannot tell",
    }  # fmt: skip
    with pytest.raises(ConfigError, match="no run to compare"):
        compare_runs([])


@pytest.mark.parametrize("width", [80, 110, 160])
def test_the_terminal_says_the_same(folders, width):
    text = leaderboard(compare_runs(folders), width=width)
    assert "within noise" in text
    assert "better" in text
    assert "focal" in text
    assert ("params" in text) == (width == 160)
    assert max(len(line) for line in text.splitlines()) <= width


def test_markup_in_names_stays_literal(make_run):
    folders = [make_run("a", recipe="ce"), make_run("b", recipe="[red]la[/red]")]
    assert "[red]la[/red]" in leaderboard(compare_runs(folders), width=160)
