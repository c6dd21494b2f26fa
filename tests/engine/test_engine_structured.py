"""``rtc`` and ``gist`` over two ranks, killed and continued, read back, and started from others."""

from __future__ import annotations

import csv
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.engine.test_engine_ranks import SGD, difference, two_ranks

from longtail.engine.handover_taxonomy import cluster_classes
from longtail.engine.runner import RunConfig, fit, load_run
from longtail.errors import CheckpointError, ConfigError
from longtail.testing.toy import toy_data

SECOND = "stages.1.optimizer=sgd(lr=0.05)"
RECIPES = ("rtc", "gist")


def config_of(recipe: str, output: Path, **more: Any) -> dict[str, Any]:
    out = {"data": "digits-lt", "recipe": recipe, "set": (SGD, SECOND), "epochs": 2, **more}
    return {**out, "batch_size": 32, "progress": False, "output": str(output)}


@pytest.mark.timeout(600)
def test_two_ranks_are_two_micro_batches(tmp_path: Path) -> None:
    cases = [{"config": config_of(r, tmp_path / f"{r}-two")} for r in RECIPES]
    whole = config_of("gist", tmp_path / "whole", checkpoint_seconds=0.0)
    stopped = {**whole, "epochs": 4, "output": str(tmp_path / "stopped"), "resume": True}
    cases += [{"config": {**whole, "epochs": 4}}, {"config": stopped, "stop": [1, 0]}]
    seen = two_ranks(tmp_path, [*cases, {"config": stopped}])
    for number, recipe in enumerate(RECIPES):
        one = fit(RunConfig(**config_of(recipe, tmp_path / f"{recipe}-one", accumulate=2)))
        assert seen[0][str(number)][:3] == seen[1][str(number)][:3], "the ranks differ"
        assert seen[0][str(number)][0] == one.metrics["steps"]
        assert difference(tmp_path / f"{recipe}-one", tmp_path / f"{recipe}-two") <= 1e-6
    assert [one["3"] for one in seen] == ["stopped", "stopped"]
    assert difference(tmp_path / "whole", tmp_path / "stopped", statistics=True) == 0


#: where a run of two stages is killed
MOMENTS = [
    ("end-0.safetensors", "after"),
    ("journal.json", "after"),
    ("start-1.safetensors", "half"),
    ("start-1.safetensors", "after"),
    ("latest.safetensors", "half"),
    ("end-1.safetensors", "after"),
    ("model.safetensors", "half"),
]


@pytest.mark.parametrize("recipe", RECIPES)
def test_killed_between_the_stages(
    runs: Any, tmp_path: Path, assert_same_run: Any, recipe: str
) -> None:
    whole, output = tmp_path / "whole", tmp_path / "killed"
    config: dict[str, Any] = {"checkpoint_seconds": 0.05, "epochs": 4}
    assert runs(whole, recipe, **config)["status"] == 0
    for name, when in MOMENTS:
        told = runs(output, recipe, traps=[{"name": name, "when": when}], **config)
        assert told["status"] == -signal.SIGKILL, (name, when, told)
    assert runs(output, recipe, **config)["status"] == 0
    assert_same_run(whole, output)


def test_a_clustered_tree_is_read_from_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after the tree was planted, a run goes on with it and clusters nothing anew."""
    from longtail.engine import handover_taxonomy, train

    config = RunConfig("digits-lt", "rtc", epochs=2, output=tmp_path / "run", progress=False)
    save = train.RunFolder.save_state

    def stop(self: Any, name: str, *rest: Any) -> None:
        save(self, name, *rest)
        if name == "start-1":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train.RunFolder, "save_state", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(config)
    monkeypatch.setattr(handover_taxonomy, "cluster_classes", None)
    run = fit(RunConfig(**{**vars(config), "resume": True}))
    tree = run.network.head.taxonomy
    assert tree.inner >= 2
    assert any("clustered from class means" in note for note in run.metrics["notes"])
    assert load_run(tmp_path / "run").network.head.taxonomy == tree


def train(recipe: str, **options: Any) -> Any:
    return fit(
        RunConfig(recipe=recipe, progress=False, device="cpu", **options), dataset=toy_data()
    )


def test_a_file_is_not_needed_after_training(tmp_path: Path) -> None:
    file = tmp_path / "trees.txt"
    file.write_text("plant tall\nplant small\ntall oak\ntall elm\nsmall <ash>\nsmall yew\n")
    run = train("rtc", epochs=1, set=(f"taxonomy={file}",), output=tmp_path / "run")
    assert [s["name"] for s in run.info["recipe"]["stages"]] == ["taxonomy"]
    file.unlink()
    again = load_run(tmp_path / "run")
    assert again.network.head.taxonomy.names == (
        "oak",
        "elm",
        "<ash>",
        "yew",
        "tall",
        "small",
        "plant",
    )
    x = toy_data().test.store.data  # type: ignore[union-attr]
    assert torch.equal(again.predict_logits(x), run.predict_logits(x))
    p, columns = again.answers(x)
    assert torch.equal(p, again.predict_proba(x))
    assert columns["rejected"] == ["false"] * len(x)
    names = again.class_names
    assert columns["node"] == [names[c] for c in p.argmax(1).tolist()]
    again.refuse_below(1.0)
    assert set(again.answers(x)[1]["node"]) == {"plant"}


def test_metrics_say_how_it_stops() -> None:
    run = train("rtc", epochs=2, set=("threshold=0.6",))
    found = run.metrics["test"]["decisions"]
    assert found["leaf_accuracy"] == pytest.approx(run.metrics["test"]["accuracy"])
    assert found["threshold"] == 0.6
    assert 0 <= found["refused"] <= 1
    assert 0 <= found["depth"] <= 2
    assert found["node_accuracy"] >= found["leaf_accuracy"] - found["refused"]
    assert found["correctly_predicted_bits"] <= found["node_accuracy"]
    assert "decisions" not in train("ce", epochs=1).metrics["test"]


def test_a_second_stage_from_a_plain_run(tmp_path: Path) -> None:
    """``--from`` a linear classifier: the tree is clustered from it, and splits its weights."""
    train("ce", epochs=2, output=tmp_path / "ce")
    run = train("rtc", epochs=1, start=tmp_path / "ce", output=tmp_path / "rtc")
    assert run.network.head.taxonomy.inner == 2
    for recipe in ("la_posthoc", "rtc"):  # weights of a tree are no weights of classes
        with pytest.raises(CheckpointError, match="holds a classifier of the kind taxonomic"):
            train(recipe, epochs=1, start=tmp_path / "rtc")


@pytest.mark.parametrize("objective", ["taxonomic", "constellation"])
def test_the_head_that_an_objective_needs(objective: str) -> None:
    with pytest.raises(ConfigError, match="not LinearHead") as caught:
        train("ce", epochs=1, set=(f"objective={objective}",))
    assert "set head=" in caught.value.do
    with pytest.raises(ConfigError, match="taxonomic head, not in LinearHead"):
        train("rtc", epochs=2, set=("head=linear", "objective=supervised"))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("drop=1.0", "drop"),
        ("strength=-1.0", "strength"),
        ("branching=1", "branches"),
        ("threshold=2.0", "threshold"),
        ("taxonomy=no_such_file.txt", "no taxonomy 'no_such_file.txt'"),
        ("taxonomy=cifar100", "4 of 4 classes have no path"),
    ],
)
def test_options_that_do_not_fit(setting: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        train("rtc", epochs=2, set=(setting,))
    assert len(str(caught.value).splitlines()) == 2


def test_clusters_of_means() -> None:
    """Three clouds of four, four and one class: near classes share their nodes."""
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(3, 8), (4, 4, 1), axis=0)
    means = centres + 0.05 * rng.normal(size=centres.shape)
    names = [f"c{i}" for i in range(10)]  # the last one has no training row
    tree = cluster_classes(means, np.arange(9), names, branching=3)
    groups = {tuple(c for c in range(10) if tree.parents[c] == v) for v in range(tree.inner + 1)}
    assert groups == {(0, 1, 2, 3), (4, 5, 6, 7), (8, 9)}
    assert tree.names[10:] == ("c0 | c1 | c2 | ... (4)", "c4 | c5 | c6 | ... (4)", "all classes")
    order = rng.permutation(9)
    again = cluster_classes(means[order], order, names, branching=3)
    assert {frozenset(tree.path(c)[:-1]) for c in range(10)} == {
        frozenset(again.path(c)[:-1]) for c in range(10)
    }
    many = cluster_classes(rng.normal(size=(300, 16)), np.arange(300), list(map(str, range(300))))
    assert len(many.levels()) == 4
    assert min(many.levels()[:1]) >= 2


def test_predict_writes_what_it_stops_at(tmp_path: Path) -> None:
    from longtail.cli import main

    def call(*words: object) -> None:
        with pytest.raises(SystemExit) as end:
            main([str(w) for w in words])
        assert not end.value.code, words

    file = tmp_path / "rows.csv"
    rng = np.random.default_rng(0)
    lines = [
        f"{a:.2f},{b:.2f},{k}"
        for k, n in (("x", 20), ("y", 9), ("z", 5))
        for a, b in rng.normal(size=(n, 2))
    ]
    file.write_text("\n".join(["a,b,label", *lines]) + "\n")
    call("train", file, "--recipe", "rtc", "--epochs", 2, "--output", tmp_path / "run")
    rows = {}
    for threshold in (0, 1):
        out = tmp_path / f"{threshold}.csv"
        call("predict", tmp_path / "run", file, "--output", out, "--threshold", threshold)
        rows[threshold] = list(csv.DictReader(out.read_text().splitlines()))
    assert all(r["rejected"] == "false" and r["node"] == r["prediction"] for r in rows[0])
    assert all(r["rejected"] == "true" and r["node"] == "all classes" for r in rows[1])
    assert [r["prediction"] for r in rows[0]] == [r["prediction"] for r in rows[1]]
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]["decisions"]
