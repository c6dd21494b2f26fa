"""What a user can get wrong: two lines, exit code 2, and nothing lost."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.cli.conftest import COUNTS, Call, arrays_npz, image_csv, image_folder, picture, table_csv

ROWS = [*["2"] * 20, *["10"] * 10, *["7"] * 6]


def rows_csv(place: Path, change: dict[int, str] | None = None, header: str = "a,b,label") -> Path:
    """36 rows of two numbers; some lines replaced."""
    random = np.random.default_rng(0).normal(size=(len(ROWS), 2))
    lines = [f"{a:.3f},{b:.3f},{label}" for (a, b), label in zip(random, ROWS)]
    for number, line in (change or {}).items():
        lines[number] = line
    file = place / "rows.csv"
    file.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return file


def gigantic_png() -> bytes:
    """A few bytes that claim to be 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    rest = chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + rest


def refused(longtail: Call, place: Path, data: object, *words: object) -> str:
    """Both lines of the refusal; the output folder is as it was."""
    output = place / "run"
    what, do = longtail("train", data, "--epochs", 1, "--output", output, *words).error()
    assert not (output / "run.json").exists()
    return f"{what}\n{do}"


def test_a_class_that_only_the_test_set_has(longtail: Call, tmp_path: Path) -> None:
    image_folder(tmp_path / "set" / "train")
    for label, name in enumerate((*COUNTS, "dodo")):
        (tmp_path / "set" / "test" / name).mkdir(parents=True)
        for number in range(3):
            picture(label % 3, 90 + number).save(tmp_path / "set" / "test" / name / f"{number}.png")
    said = longtail("train", tmp_path / "set", "--epochs", 1, "--output", tmp_path / "run")
    assert said.code == 0, said.err
    (note,) = [line for line in said.out.splitlines() if line.startswith("note:")]
    assert "never trained on: dodo" in note
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["data"]["class_names"][3] == "dodo"
    assert metrics["test"]["per_class"][3] == 0.0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["on_empty"] == "smooth"


def test_a_class_with_one_sample(longtail: Call, tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "set")
    (folder / "rare").mkdir()
    picture(1, 99).save(folder / "rare" / "only.png")
    said = longtail("train", folder, "--epochs", 1, "--output", tmp_path / "run")
    assert said.code == 0, said.err
    assert "not evaluable: rare" in said.out
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["data"]["counts"][3] == 1
    assert metrics["test"]["per_class"][3] is None


def test_labels_with_gaps_are_ordered_by_number(longtail: Call, tmp_path: Path) -> None:
    said = longtail("train", rows_csv(tmp_path), "--epochs", 1, "--output", tmp_path / "run")
    assert said.code == 0, said.err
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    assert info["class_names"] == ["2", "7", "10"]
    assert info["counts"] == [16, 5, 8]


@pytest.mark.parametrize(
    ("word", "what"), [("nan", "missing"), ("", "missing"), ("inf", "infinite")]
)
def test_features_that_are_no_numbers(longtail: Call, tmp_path: Path, word: str, what: str) -> None:
    text = refused(longtail, tmp_path, rows_csv(tmp_path, {11: f"{word},1.0,2"}))
    assert what in text
    assert "column 'a'" in text
    assert "row 11" in text


def test_nan_in_arrays(longtail: Call, tmp_path: Path) -> None:
    x = np.ones((36, 2))
    x[17, 1] = np.nan
    np.savez(tmp_path / "set.npz", x=x, y=ROWS)
    assert "the first in row 17" in refused(longtail, tmp_path, tmp_path / "set.npz")


def test_an_empty_label(longtail: Call, tmp_path: Path) -> None:
    assert "no label" in refused(longtail, tmp_path, rows_csv(tmp_path, {3: "1,1,"}))


@pytest.mark.parametrize("kind", ["truncated", "unreadable", "gigantic"])
def test_a_bad_image_is_named_or_skipped(longtail: Call, tmp_path: Path, kind: str) -> None:
    folder = image_folder(tmp_path / "set")
    bad = folder / "ant" / "00.png"
    content = {
        "truncated": bad.read_bytes()[:60],
        "unreadable": b"hello",
        "gigantic": gigantic_png(),
    }
    bad.write_bytes(content[kind])
    assert "ant/00.png" in refused(longtail, tmp_path, folder)
    choice = tmp_path / "set.yaml"
    choice.write_text("path: set\non_bad: skip\n", encoding="utf-8")
    said = longtail("train", choice, "--epochs", 1, "--output", tmp_path / "run")
    assert said.code == 0, said.err
    assert "1 unreadable images were left out: ant/00.png" in said.out
    found = json.loads(longtail("audit", folder, "--json").out)
    assert found["unreadable"] == ["ant/00.png"]


def test_a_csv_without_the_column(longtail: Call, tmp_path: Path) -> None:
    text = refused(longtail, tmp_path, rows_csv(tmp_path, header="a,b,labels"))
    assert "no label column 'label'" in text
    assert "did you mean 'labels'?" in text


def test_a_byte_order_mark_is_no_part_of_a_name(longtail: Call, tmp_path: Path) -> None:
    file = table_csv(tmp_path)
    text = "\n".join(",".join(line.split(",")[::-1]) for line in file.read_text().splitlines())
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    said = longtail("train", file, "--epochs", 1, "--output", tmp_path / "run")
    assert said.code == 0, said.err


@pytest.mark.parametrize("path", ["../secret.png", "/etc/secret.png"])
def test_a_path_that_leaves_its_root(longtail: Call, tmp_path: Path, path: str) -> None:
    file = image_csv(tmp_path / "set")
    file.write_text(file.read_text() + f"{path},ant\n", encoding="utf-8")
    assert "leaves its root" in refused(longtail, tmp_path, file)


def test_an_empty_folder(longtail: Call, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    assert "class folders" in refused(longtail, tmp_path, tmp_path / "set")
    (tmp_path / "set" / "ant").mkdir()
    assert "no image" in refused(longtail, tmp_path, tmp_path / "set")


def test_arrays_that_carry_a_pickle(longtail: Call, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x=np.array([{"a": 1}] * 3, dtype=object), y=[0, 1, 1])
    assert "pickled" in refused(longtail, tmp_path, tmp_path / "set.npz")
    (tmp_path / "set.npz").write_text("no archive")
    assert "no zip archive" in refused(longtail, tmp_path, tmp_path / "set.npz")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--recipe", "balanced_sofmax"), "did you mean 'balanced_softmax'?"),
        (("--set", "tua=2"), "no setting 'tua'"),
        (("--set", "loss=focall"), "did you mean 'focal'?"),
        (("--set", "loss=focal(gama=2)"), "did you mean 'gamma'?"),
        (("--set", "stages.4.lr=1"), "stages.I.field"),
        (("--recipe", "la", "--set", "tau=much"), "tau='much'"),
        (("--recipe", "ldam", "--set", "head=linear"), "scale"),
        (("--set", "trains=haed"), "did you mean 'head'?"),
        (("--set", "optimizer=sdg(lr=1)"), "did you mean 'sgd'?"),
        (("--backbone", "resnet31"), "did you mean 'resnet32'?"),
        (("--backbone", "mlp"), "small_cnn"),
        (("--device", "cpuu"), "did you mean 'cpu'?"),
        (("--precision", "64"), "no precision '64'"),
        (("--profile", "stepp"), "did you mean 'step'?"),
        (("--target-prior", "unifrom"), "did you mean 'uniform'"),
        (("--recipe", "ldam", "--target-prior", "uniform"), "as_trained"),
        (("--recipe", "tau_norm", "--target-prior", "uniform"), "as_trained"),
        (("--recipe", "balanced_softmax", "--set", "sampler=class_balanced"), "both correct"),
        (("--labelled-share", "0"), "no share"),
        (("--lr", "0"), "above 0"),
        (("--epochs", "0"), "--epochs"),
        (("--epoch", "1"), "--epochs"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
def test_a_wrong_word(longtail: Call, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    assert said in refused(longtail, tmp_path, "digits-lt", *words)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_the_corrected_command_runs(longtail: Call, tmp_path: Path) -> None:
    words = ("digits-lt", "--recipe", "la", "--set")
    refused(longtail, tmp_path, *words, "tau=much")
    said = longtail("train", *words, "tau=2", "--epochs", 1, "--output", tmp_path / "run")
    assert said.code == 0, said.err


def test_data_of_no_such_name(longtail: Call, tmp_path: Path) -> None:
    assert "did you mean 'digits-lt'?" in refused(longtail, tmp_path, "digit-lt")
    table_csv(tmp_path)
    assert "did you mean 'table.csv'?" in refused(longtail, tmp_path, tmp_path / "tabel.csv")


def test_missing_archives_are_named(longtail: Call, tmp_path: Path) -> None:
    text = refused(longtail, tmp_path, "cifar10-lt", "--data-root", tmp_path)
    assert "cifar-10-batches-py" in text
    assert "--data-root" in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_without_one(longtail: Call, tmp_path: Path) -> None:
    text = refused(longtail, tmp_path, "digits-lt", "--device", "cuda")
    assert "no CUDA device" in text
    assert "--device cpu" in text


def test_another_run_is_never_overwritten(longtail: Call, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert longtail("train", "digits-lt", "--epochs", 1, "--output", run).code == 0
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    other = ("train", "digits-lt", "--epochs", 1, "--seed", 1, "--output", run)
    assert "--resume" in longtail(*other).error()[1]
    what, _ = longtail(*other, "--resume").error()
    assert "seed: 0 -> 1" in what
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def test_a_folder_of_something_else_is_left_alone(longtail: Call, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    assert "holds no run" in refused(longtail, tmp_path, "digits-lt")
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["thesis.txt"]
    (tmp_path / "file").write_text("mine")
    longtail("train", "digits-lt", "--epochs", 1, "--output", tmp_path / "file" / "run").error()


def test_a_class_called_script(longtail: Call, tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "set")
    name = "<script>alert(1)<"
    (folder / "ant").rename(folder / name)
    run = tmp_path / "run"
    assert longtail("train", folder, "--epochs", 1, "--output", run).code == 0
    assert name in json.loads((run / "run.json").read_text())["class_names"]
    assert "<script>alert" not in (run / "report.html").read_text()
    assert "<script>alert" not in (run / "card.md").read_text()


def test_what_is_no_run(longtail: Call, tmp_path: Path) -> None:
    file = arrays_npz(tmp_path)
    for verb in ("evaluate", "predict", "report"):
        words = [tmp_path / "nowhere", *([file] if verb == "predict" else [])]
        assert "no run folder" in longtail(verb, *words).error()[0]
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "run.json").write_text("{}")
    assert "--resume" in longtail("evaluate", tmp_path / "half").error()[1]
