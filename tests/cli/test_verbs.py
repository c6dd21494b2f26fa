"""Every verb from end to end, on the embedded set and on files of every kind."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from tests.cli.conftest import COUNTS, SOURCES, Call, image_csv, image_folder, picture, table_csv

from longtail.registry import records

FILES = (
    "run.json", "metrics.json", "metrics.jsonl", "model.safetensors", "predictions.npz",
    "report.html", "card.md",
)  # fmt: skip


def rows(file: Path) -> list[dict[str, str]]:
    """A CSV by column."""
    with open(file, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def run(longtail: Call, tmp_path: Path) -> Path:
    """A run of one epoch."""
    folder = tmp_path / "run"
    said = longtail(
        "train", "digits-lt", "-r", "balanced_softmax", "--epochs", 1, "--output", folder
    )
    assert said.code == 0, said.err
    return folder


def test_train_leaves_its_folder_and_says_what_came_out(longtail: Call, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    said = longtail("train", "digits-lt", "--epochs", 2, "--output", folder, "--set", "lr=0.05")
    assert said.code == 0, said.err
    assert "balanced accuracy" in said.out
    assert f"report: {folder / 'report.html'}" in said.out
    assert {p.name for p in folder.iterdir()} >= set(FILES)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["recipe"] == "ce"
    assert metrics["seed"] == 0
    assert metrics["steps"] == 2 * 21
    assert metrics["samples_seen"] == 2 * 331
    test = metrics["test"]
    assert {"accuracy", "balanced_accuracy", "many", "medium", "few", "ece"} <= set(test)
    assert len(test["per_class"]) == 10
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    info = json.loads((folder / "run.json").read_text())
    assert info["recipe"]["lr"] == 0.05
    assert info["source"]["data"] == "digits-lt"


def test_the_default_folder_lies_below_runs(
    longtail: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert longtail("train", "digits-lt", "--epochs", 1, "--seed", 3).code == 0
    assert (tmp_path / "runs" / "digits-lt-ce-seed3" / "metrics.json").is_file()


def test_resume_ends_at_once_when_the_run_is_whole(longtail: Call, run: Path) -> None:
    before = (run / "metrics.json").read_bytes(), (run / "model.safetensors").read_bytes()
    words = ("train", "digits-lt", "-r", "balanced_softmax", "--epochs", 1, "--output", run)
    assert longtail(*words).code == 2
    said = longtail(*words, "--resume")
    assert said.code == 0, said.err
    assert "balanced accuracy" in said.out
    assert before == ((run / "metrics.json").read_bytes(), (run / "model.safetensors").read_bytes())


def test_evaluate_says_what_training_said(longtail: Call, run: Path) -> None:
    said = longtail("evaluate", run, "--json")
    assert said.code == 0, said.err
    assert said.err == ""
    assert json.loads(said.out) == json.loads((run / "metrics.json").read_text())["test"]
    assert longtail("evaluate", run, "digits-lt").out == longtail("evaluate", run).out


def test_evaluate_on_other_rows(longtail: Call, tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "set")
    assert longtail("train", folder, "--epochs", 1, "--output", tmp_path / "run").code == 0
    (folder / "dodo").mkdir()
    picture(0, 7).save(folder / "dodo" / "x.png")
    said = longtail("evaluate", tmp_path / "run", folder)
    assert said.code == 0, said.err
    assert "1 rows of classes the run does not know left out: dodo" in said.err
    assert "other classes than the run" in longtail("evaluate", tmp_path / "run").error()[0]
    (folder / "dodo" / "x.png").unlink()
    (folder / "dodo").rmdir()
    (folder / "ant" / "00.png").unlink()
    assert "not what the run was trained on" in longtail("evaluate", tmp_path / "run").err
    what, _ = longtail("evaluate", tmp_path / "run", table_csv(tmp_path)).error()
    assert "table rows" in what


def test_evaluate_adapt_weighs_experts_and_says_so(
    longtail: Call, tmp_path: Path, run: Path
) -> None:
    what, do = longtail("evaluate", run, "--adapt").error()
    assert "no experts" in what
    assert "sade" in do
    for share, line in ((0, "no validation data"), (0.2, "uniform weights on validation data")):
        folder = tmp_path / f"sade-{share}"
        words = ("digits-lt", "-r", "sade", "--epochs", 1, "--validation", share)
        assert longtail("train", *words, "--output", folder).code == 0
        said = longtail("evaluate", folder, "--adapt")
        assert said.code == 0, said.err
        assert "adapt: experts weighed 0." in said.err
        assert line in said.err
        assert "balanced accuracy" in said.out


def test_adapt_reads_the_validation_rows_that_the_data_name(longtail: Call, tmp_path: Path) -> None:
    data = image_csv(tmp_path)
    lines = data.read_text().splitlines()
    splits = ("train", "train", "validation", "test")
    named = [f"{x},{splits[i % 4]}" for i, x in enumerate(lines[1:])]
    data.write_text("\n".join([f"{lines[0]},split", *named]) + "\n")
    words = ("train", data, "-r", "sade", "--epochs", 1, "--output", tmp_path / "run")
    assert longtail(*words).code == 0
    said = longtail("evaluate", tmp_path / "run", "--adapt")
    assert "uniform weights on validation data" in said.err


def test_predict_writes_one_line_an_input(longtail: Call, tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "set")
    (folder / "ant").rename(folder / "=cmd()")
    assert longtail("train", folder, "--epochs", 2, "--output", tmp_path / "run").code == 0
    out = tmp_path / "said.csv"
    said = longtail("predict", tmp_path / "run", folder, "--output", out, "--probabilities")
    assert said.code == 0, said.err
    found = rows(out)
    assert len(found) == sum(COUNTS.values())
    assert found[0]["id"] == "'=cmd()/00.png"
    assert {r["prediction"] for r in found} <= {"'=cmd()", "bee", "cat"}
    for row in found:
        p = [float(v) for k, v in row.items() if k.startswith("p:")]
        assert sum(p) == pytest.approx(1, abs=1e-4)
        assert max(p) == pytest.approx(float(row["probability"]))
        assert p.index(max(p)) == int(row["class_id"])
    about = json.loads((tmp_path / "said.meta.json").read_text())
    assert about["recipe"] == "ce"
    assert about["rows"] == len(found)


def test_predict_goes_on_after_a_bad_file(longtail: Call, tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "set")
    assert longtail("train", folder, "--epochs", 1, "--output", tmp_path / "run").code == 0
    (folder / "bee" / "00.png").write_text("hello")
    out = tmp_path / "said.csv"
    said = longtail("predict", tmp_path / "run", folder, "--output", out)
    assert said.code == 1
    assert "1 that could not be read" in said.out
    failed = [r for r in rows(out) if r["error"]]
    assert [r["id"] for r in failed] == ["bee/00.png"]
    assert failed[0]["prediction"] == ""


def test_report_of_one_and_of_several(longtail: Call, tmp_path: Path, run: Path) -> None:
    (run / "report.html").unlink()
    assert longtail("report", run).code == 0
    assert "balanced_softmax" in (run / "report.html").read_text()
    other = tmp_path / "other"
    assert longtail("train", "digits-lt", "--epochs", 1, "--output", other).code == 0
    page = tmp_path / "both.html"
    assert longtail("report", run, other, "--output", page).code == 0
    assert "balanced_softmax" in page.read_text()
    assert longtail("report", tmp_path).code == 0
    assert (tmp_path / "report.html").is_file()


def test_compare_names_the_winner_and_goes_on(longtail: Call, tmp_path: Path) -> None:
    out = tmp_path / "c"
    words = ("compare", "digits-lt", "--recipes", "ce,balanced_softmax", "--seeds", 2, "--epochs", 2,
             "--output", out)  # fmt: skip
    said = longtail(*words)
    assert said.code == 0, said.err
    assert "Leaderboard" in said.out
    assert f"report: {out / 'report.html'}" in said.out
    found = json.loads((out / "compare.json").read_text())
    assert found["baseline"] == "ce"
    assert [s["seeds"] for s in found["standings"]] == [[0, 1], [0, 1]]
    (row,) = found["differences"]["balanced_accuracy"]
    assert row["recipe"] == "balanced_softmax"
    assert row["interval"][0] <= row["delta"] <= row["interval"][1]
    folders = sorted(p.name for p in out.iterdir() if p.is_dir())
    assert folders == [f"{r}-seed{s}" for r in ("balanced_softmax", "ce") for s in (0, 1)]
    for folder in folders:
        assert {p.name for p in (out / folder).iterdir()} >= set(FILES)
    assert "--resume" in longtail(*words).error()[1]
    before = (out / "ce-seed0" / "model.safetensors").stat().st_mtime_ns
    again = longtail(*words, "--resume")
    assert again.code == 0, again.err
    assert again.out.splitlines()[-2:] == said.out.splitlines()[-2:]
    assert (out / "ce-seed0" / "model.safetensors").stat().st_mtime_ns == before
    assert json.loads((out / "compare.json").read_text()) == found


def test_audit_counts(longtail: Call, tmp_path: Path) -> None:
    said = longtail("audit", "digits-lt", "--imbalance-factor", 20)
    assert said.code == 0, said.err
    assert "imbalance_factor: 20" in said.out
    file = tmp_path / "audit.json"
    assert longtail("audit", image_folder(tmp_path / "set"), "--output", file).code == 0
    found = json.loads(file.read_text())
    assert found["class_names"] == list(COUNTS)
    assert sum(found["splits"][k]["rows"] for k in ("train", "test")) == sum(COUNTS.values())


@pytest.mark.parametrize("source", SOURCES)
def test_every_kind_of_source(longtail: Call, tmp_path: Path, source: str) -> None:
    data = SOURCES[source](tmp_path / "set")
    said = longtail(
        "train", data, "-r", "balanced_softmax", "--epochs", 6, "--output", tmp_path / "run"
    )
    assert said.code == 0, said.err
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["data"]["counts"] == [24, 10, 5]
    assert metrics["test"]["balanced_accuracy"] > 0.5
    assert longtail("evaluate", tmp_path / "run").code == 0
    if data.suffix == ".csv":
        out = tmp_path / "said.csv"
        said = longtail("predict", tmp_path / "run", data, "--output", out)
        assert said.code == 0, said.err
        assert len(rows(out)) == sum(COUNTS.values())


@pytest.mark.full
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("record", records("recipes"), ids=lambda r: r.name)
def test_every_recipe_on_every_source(longtail: Call, tmp_path: Path, source: str, record) -> None:
    modality = {"csv of texts": "text", "csv of columns": "table"}.get(source, "image")
    data = SOURCES[source](tmp_path / "set")
    words = ["train", data, "-r", record.name, "--epochs", 4, "--output", tmp_path / "run"]
    if "unlabelled" in record.needs:
        words += ["--labelled-share", 0.5]
    said = longtail(*words)
    if modality not in record.modalities:
        assert f"not on {modality} data" in said.error()[0]
        return
    assert said.code == 0, said.err
    test = json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]
    assert np.isfinite(test["nll"])
    assert longtail("evaluate", tmp_path / "run", "--json").out == json.dumps(test, indent=1) + "\n"


@pytest.mark.full
@pytest.mark.parametrize("record", records("recipes"), ids=lambda r: r.name)
def test_every_recipe_resumes_between_two_calls(longtail: Call, tmp_path: Path, record) -> None:
    words = ["train", "digits-lt", "-r", record.name, "--epochs", 3]
    for name in ("a", "b"):
        assert longtail(*words, "--output", tmp_path / name, "--resume").code == 0
    a, b = (json.loads((tmp_path / n / "metrics.json").read_text()) for n in "ab")
    assert a["test"] == b["test"]
