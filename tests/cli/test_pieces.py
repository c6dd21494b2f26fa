"""Pieces of the verbs that need no training."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

import pytest

from longtail.cli.app import _explain, _how_to_resume
from longtail.cli.options import RunFlags, slug
from longtail.cli.predict import defuse
from longtail.cli.runs import expand, refuse_occupied
from longtail.cli.train import train
from longtail.errors import ConfigError


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_starts_a_formula_is_defused(start: str) -> None:
    assert defuse(f"{start}cmd()") == f"'{start}cmd()"


@pytest.mark.parametrize("cell", ["cat", "a=b", "", "<script>", 3, 0.25])
def test_other_cells_stay(cell: object) -> None:
    assert defuse(cell) == str(cell)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("digits-lt", "digits-lt"),
        ("a/my photos/", "my-photos"),
        ("x/reviews.csv", "reviews"),
        ("..", None),
    ],
)
def test_slug(data: str, name: str | None) -> None:
    found = slug(data)
    assert found == name or name is None
    assert found
    assert not set(found) & set("/\\ ")


def test_a_taken_folder_is_refused(tmp_path: Path) -> None:
    refuse_occupied([tmp_path, tmp_path / "new"])
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds a run already") as caught:
        refuse_occupied([tmp_path])
    assert "--resume" in caught.value.do


def test_a_folder_of_runs_stands_for_them(tmp_path: Path) -> None:
    for name in ("b-seed0", "a-seed0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
    assert [p.name for p in expand([tmp_path])] == ["a-seed0", "b-seed0"]
    assert expand([tmp_path / "b-seed0"]) == [tmp_path / "b-seed0"]
    with pytest.raises(ConfigError):
        expand([tmp_path / "missing"])


def test_an_interrupted_training_says_how_to_go_on() -> None:
    words = ["train", "my data.csv", "--epochs", "5"]
    assert _how_to_resume(words).endswith("longtail train 'my data.csv' --epochs 5 --resume")
    assert _how_to_resume([*words, "--resume"]).count("--resume") == 1
    assert "--resume" not in _how_to_resume(["audit", "x"])
    assert _explain(KeyboardInterrupt())[2] == 130


def test_every_promised_flag_is_an_option_of_train() -> None:
    fields = {f.name for f in dataclasses.fields(RunFlags)}
    wanted = [
        "set",
        "epochs",
        "batch_size",
        "lr",
        "seed",
        "device",
        "precision",
        "workers",
        "backbone",
        "imbalance_factor",
        "profile",
        "data_root",
        "output",
        "resume",
        "target_prior",
        "labelled_share",
    ]
    assert set(wanted) <= fields <= set(inspect.signature(train).parameters)


def test_every_flag_reaches_the_engine() -> None:
    config = RunFlags(set=["tau=2"], epochs=3, seed=4, device="cpu").config("digits-lt", "la")
    assert (config.data, config.recipe, config.set, config.epochs) == (
        "digits-lt",
        "la",
        ("tau=2",),
        3,
    )
    for field in dataclasses.fields(RunFlags):
        assert hasattr(config, field.name)
