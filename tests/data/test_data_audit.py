"""The audit, and the command that writes CSV files."""

from __future__ import annotations

import importlib.util
import json
import lzma
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtail.data import load
from longtail.data.audit import audit

ROOT = Path(__file__).resolve().parents[2]


def plain(found):
    return json.loads(json.dumps(found, allow_nan=False))


def test_worked_numbers_of_digits_lt():
    found = audit("digits-lt")
    assert plain(found) == found
    assert found["imbalance_factor"] == 60
    assert found["gini"] == pytest.approx(0.569486, abs=1e-6)
    assert found["entropy"] == pytest.approx(0.758874, abs=1e-6)
    assert found["effective_classes"] == pytest.approx(5.7395, abs=1e-4)
    assert found["shape"]["simpson_classes"] == pytest.approx(4.46, abs=1e-4)
    assert found["splits"]["test"]["counts"] == [50] * 10
    assert found["groups"]["many"] == ["0"]
    assert found["tiny_classes"]["under_5"] == ["8", "9"]
    assert found["majority"] is None


def test_duplicates_conflicts_and_leaks():
    rng = np.random.RandomState(0)
    x = rng.randint(0, 256, (40, 6, 6)).astype(np.uint8)
    y = ["head"] * 30 + ["tail"] * 10
    x[3] = x[2]  # twice in one class
    x[35] = x[5]  # two labels
    test = rng.randint(0, 256, (10, 6, 6)).astype(np.uint8)
    test[0] = x[7]
    test[9] = x[33]
    found = audit((x, y, test, ["head"] * 5 + ["tail"] * 5))
    same = found["duplicates"]
    assert same["within"]["train"] == {"clusters": 2, "extra_rows": 2}
    assert same["across"] == {"train+test": {"clusters": 2, "rows": 2}}
    assert same["conflicts"] == 1
    assert same["conflict_examples"][0]["labels"] == ["head", "tail"]
    assert same["leaked_test_rows"] == 2
    assert same["leaked_share"]["all"] == pytest.approx(0.2)
    assert found["majority"] == {"class": "head", "share": 0.75}
    assert "different labels" in found["findings"][0]


def test_names_broken_files_and_what_cannot_be_evaluated(image_folder, noise):
    (image_folder / "2/broken.png").write_bytes(b"")
    for k, name in enumerate(("Cat", "cat ", "CAT")):
        (image_folder / name).mkdir()
        for i in range(2):
            noise(100 + 2 * k + i).save(image_folder / name / f"{i}.png")
    found = plain(audit(image_folder, resident=False))
    assert found["unreadable"] == ["2/broken.png"]
    assert found["not_evaluable"] == ["<script>"]
    assert found["similar_names"] == [["CAT", "Cat", "cat "]]
    assert found["findings"][0] == "1 files cannot be read"


def test_unseen_classes_make_the_factor_infinite():
    x = np.random.RandomState(0).normal(size=(8, 2))
    found = plain(audit(load((x, [0, 0, 0, 1, 1, 1, 1, 1], x[:2], [0, 7]))))
    assert found["unseen_classes"] == ["7"]
    assert found["imbalance_factor"] is None
    assert found["shape"]["empty"] == 1
    assert found["duplicates"]["leaked_test_rows"] == 2


def test_same_pixels_in_another_file_format(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    picture = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    for name, end in (("a", "png"), ("a", "bmp"), ("b", "tif")):
        picture.save(tmp_path / name / f"x.{end}")
    found = audit(tmp_path)
    assert found["duplicates"]["clusters"] == 1
    assert found["duplicates"]["conflicts"] == 1


def script():
    spec = importlib.util.spec_from_file_location("write_csv", ROOT / "benchmarks/write_csv.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_write_csv_drops_what_cannot_be_used(tmp_path, capsys):
    folder = tmp_path / "tabular"
    folder.mkdir()
    row = ",".join(["0", "tcp", "http", "SF", *["1"] * 37])
    train = f"{row},normal,21\n{row},spy,3\n"
    for name, text in (("train_20percent", train), ("test", train + f"{row},new,1\n")):
        with lzma.open(folder / f"nslkdd_{name}.csv.xz", "wt") as file:
            file.write(text)
    (path,) = script().write(tmp_path, tmp_path / "out", ["nslkdd"])
    assert "1 test rows of 1 names" in capsys.readouterr().out
    found = load(path)
    assert found.class_names == ("normal", "spy")
    assert found.input_spec.shape == (41,)
    assert [k for _, k, _ in found.input_spec.columns].count("category") == 3
    assert (len(found.train), len(found.test)) == (2, 2)


@pytest.mark.full
def test_write_csv_of_the_shared_sets(shared_root, tmp_path):
    if shared_root is None:
        pytest.skip("no shared folder with texts and tables (set LONGTAIL_SHARED)")
    r8, emotions, kdd, shuttle = script().write(shared_root / "data", tmp_path)
    found = load(r8)
    assert dict(zip(found.class_names, found.counts.tolist()))["earn"] == 2840
    found = load(emotions)
    assert [len(s) for s in found.splits.values()] == [36308, 4548, 4590]
    found = load(kdd)
    assert (found.num_classes, len(found.train)) == (22, 25192)
    assert load(shuttle).counts.tolist() == [34108, 37, 132, 6748, 2458, 6, 11]
