"""``--target-prior`` of evaluate and predict, on rows of a known class mix."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from tests.cli.conftest import Call

NAMES = ("ant", "bee", "cat")
MIX = (0.1, 0.3, 0.6)


def table(file: Path, counts: tuple[int, ...], seed: int) -> Path:
    """Three clouds that overlap, with as many rows a class."""
    rng = np.random.default_rng(seed)
    means = np.array([[0, 0], [2, 0.5], [0.5, 2]])
    lines = ["one,two,label"]
    for name, mean, count in zip(NAMES, means, counts, strict=True):
        lines += [f"{a:.4f},{b:.4f},{name}" for a, b in rng.normal(mean, 0.8, (count, 2))]
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a validation part, and a test set of another class mix."""
    from longtail.engine.runner import RunConfig, fit

    folder = tmp_path_factory.mktemp("prior")
    data = table(folder / "train.csv", (600, 120, 60), 0)
    table(folder / "new.csv", (100, 300, 600), 1)
    for name, recipe, validation in (
        ("run", "ce", 0.25),
        ("blind", "ce", None),
        ("ldam", "ldam", 0.25),
    ):
        fit(
            RunConfig(
                str(data), recipe, epochs=12, validation=validation, output=folder / name,
                progress=False,
            )
        )  # fmt: skip
    return folder


@pytest.mark.parametrize("method", ["em", "bbse"])
def test_estimate_finds_the_mix_and_helps(longtail: Call, place: Path, method: str) -> None:
    plain = json.loads(longtail("evaluate", place / "run", place / "new.csv", "--json").out)
    flags = ("--target-prior", "estimate", "--prior-method", method, "--json")
    said = longtail("evaluate", place / "run", place / "new.csv", *flags)
    assert said.code == 0, said.err
    assert f"prior estimated by {method} from 1000 rows" in said.err
    found = json.loads(said.out)
    estimate = found["target_prior_estimate"]
    for share, (low, high) in zip(MIX, estimate["interval"], strict=True):
        assert low - 0.03 <= share <= high + 0.03
    assert 0.5 * np.abs(np.subtract(estimate["prior"], MIX)).sum() < 0.08
    assert found["accuracy"] > plain["accuracy"] + 0.03
    assert found["target_prior"] == f"estimate ({method}, 1000 rows)"


def test_validation_rows_that_the_data_name_serve_too(
    longtail: Call, place: Path, tmp_path: Path
) -> None:
    """Rows with the split ``validation``, without the flag."""
    lines = (place / "train.csv").read_text().splitlines()
    named = [f"{lines[0]},split"]
    named += [f"{x},{'validation' if i % 4 else 'train'}" for i, x in enumerate(lines[1:])]
    data = tmp_path / "named.csv"
    data.write_text("\n".join(named) + "\n")
    run = tmp_path / "run"
    assert longtail("train", data, "--epochs", 4, "--output", run).code == 0
    card = (run / "card.md").read_text()
    assert "on 585 validation rows; declared against measured, TV = 0." in card
    words = (place / "new.csv", "--target-prior", "estimate")
    said = longtail("evaluate", run, *words, "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)["target_prior_estimate"]
    assert found["validation_counts"] == [450, 90, 45]
    assert longtail("predict", run, *words, "--output", tmp_path / "said.csv").code == 0


def test_both_priors_are_printed(longtail: Call, place: Path, tmp_path: Path) -> None:
    words = ("evaluate", place / "run", place / "new.csv")
    own = "prior: the model answers to natural (ant: 76.9 %, bee: 15.4 %, cat: 7.69 %); target "
    assert f"{own}as_trained: nothing is shifted\n" in longtail(*words).out
    said = longtail(*words, "--target-prior", "uniform").out
    assert f"{own}uniform (each class 33.3 %)\n" in said
    assert "estimate (em, 1000 rows) (ant: " in longtail(*words, "--target-prior", "estimate").out
    unknown = "prior: not known: no formula follows this recipe; target as_trained, the only one"
    assert unknown in longtail("evaluate", place / "ldam", place / "new.csv").out
    train = ("train", place / "train.csv", "-r", "balanced_softmax", "--epochs", 1)
    said = longtail(*train, "--output", tmp_path / "run")
    assert said.code == 0, said.err
    line = "prior: the model answers to uniform (each class 33.3 %); target as_trained: not shifted"
    assert line in said.out


def test_labels_are_not_read_for_the_estimate(longtail: Call, place: Path, tmp_path: Path) -> None:
    lines = (place / "new.csv").read_text().splitlines()
    wrong = [lines[0], *(line.rsplit(",", 1)[0] + ",ant" for line in lines[1:])]
    (tmp_path / "wrong.csv").write_text("\n".join(wrong) + "\n")
    flags = ("--target-prior", "estimate", "--json")
    one, other = (
        json.loads(longtail("evaluate", place / "run", data, *flags).out)["target_prior_estimate"]
        for data in (place / "new.csv", tmp_path / "wrong.csv")
    )
    assert one["prior"] == other["prior"]


def test_predict_takes_a_target_prior(longtail: Call, place: Path, tmp_path: Path) -> None:
    out = {}
    for target in ("as_trained", "uniform", "estimate"):
        file = tmp_path / f"{target}.csv"
        words = ("predict", place / "run", place / "new.csv", "--output", file)
        assert longtail(*words, "--target-prior", target).code == 0
        with file.open() as handle:
            out[target] = [row["prediction"] for row in csv.DictReader(handle)]
    truth = [line.rsplit(",", 1)[1] for line in (place / "new.csv").read_text().splitlines()[1:]]
    right = {k: np.mean([a == b for a, b in zip(v, truth, strict=True)]) for k, v in out.items()}
    assert right["estimate"] > right["as_trained"] + 0.03
    assert right["uniform"] > right["as_trained"]
    about = json.loads((tmp_path / "estimate.meta.json").read_text())
    assert about["target_prior"] == "estimate (em, 1000 rows)"
    assert about["target_prior_estimate"]["verdict"] in ("use", "use_with_care")
    assert json.loads((tmp_path / "uniform.meta.json").read_text())["target_prior"] == "uniform"


def test_what_cannot_be_estimated_is_said_in_two_lines(
    longtail: Call, place: Path, tmp_path: Path
) -> None:
    words = ("evaluate", place / "blind", place / "new.csv", "--target-prior")
    what, do = longtail(*words, "estimate").error()
    assert "no labelled validation rows" in what
    assert "--validation" in do
    for target in ("uniform", "estimate"):
        flags = ("evaluate", place / "ldam", place / "new.csv", "--target-prior", target)
        assert "'ldam' answers to is not known" in longtail(*flags).error()[0]
    assert "did you mean 'uniform'" in longtail(*words, "uniforn").error()[1]
    other = tmp_path / "mix.csv"
    for text, why in (("ant,1\nbee,1\ndog,1\n", "does not know: dog"),
                      ("ant,0.5\nbee,0.2\ncat,0.2\n", "sums to 0.9"),
                      ("ant,1\nbee,0\ncat,2\n", "weight 0")):  # fmt: skip
        other.write_text(text)
        assert why in longtail(*words, other).error()[0]
    few = table(tmp_path / "few.csv", (3, 9, 18), 2)
    call = ("evaluate", place / "run", few, "--target-prior", "estimate")
    said = longtail(*call)
    assert said.code == 2
    assert "error: prior estimate refused: 30 unlabelled rows" in said.err
    assert longtail(*call, "--force").code == 0
    said = longtail(*call, "--prior-method", "emm")
    assert "did you mean 'em'" in said.err
    bad = ("train", place / "train.csv", "--target-prior", "estimate", "--output", tmp_path / "x")
    assert "evaluate or predict" in longtail(*bad).error()[1]
