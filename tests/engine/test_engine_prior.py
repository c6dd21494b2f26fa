"""Which prior a run answers to, and how a target prior moves all that it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longtail.engine.runner import Run, RunConfig, fit, load_run
from longtail.errors import ConfigError, DataError

COUNTS = np.array([120 * 50 ** (-i / 9) for i in range(10)]).astype(int)
NATURAL = COUNTS / COUNTS.sum()
UNIFORM = np.full(10, 0.1)


def effective_number() -> np.ndarray:
    return NATURAL * (1 - 0.9999) / (1 - 0.9999**COUNTS)


def short(recipe: str, *settings: str, **options: Any) -> Run:
    return fit(
        RunConfig(
            "digits-lt", recipe, set=settings, epochs=1, batch_size=64, progress=False, **options
        )
    )


@pytest.mark.parametrize(
    ("recipe", "settings", "expected"),
    [
        ("ce", (), NATURAL),
        ("mixup", (), NATURAL),
        ("class_balanced", (), UNIFORM),
        ("square_root", (), np.sqrt(COUNTS)),
        ("ros", (), UNIFORM),
        ("progressive", (), UNIFORM),
        ("progressive", ("reach=false",), NATURAL),  # the one epoch there is, as drawn
        ("progressive", ("cycle=2",), UNIFORM),
        ("balanced_softmax", (), UNIFORM),
        ("la", ("tau=0.5",), np.sqrt(NATURAL)),
        ("weighted_ce", (), UNIFORM),
        ("cb", (), effective_number()),
        ("drw", (), effective_number()),
        ("crt", (), UNIFORM),
        ("la_posthoc", ("tau=1.0",), UNIFORM),
        ("pc_softmax", (), UNIFORM),
        ("uno_ic", ("beta=1.0",), UNIFORM),
        ("lade", (), UNIFORM),
        ("la_pairwise", (), UNIFORM),
        ("la_pairwise", ("delta=zero",), np.sqrt(NATURAL)),
        ("la_pairwise", ("delta=ldam",), None),
        ("balanced_softmax", ("sampler=class_balanced", "allow_double=true"), 1 / NATURAL),
        ("ldam", (), None),
        ("sade", (), None),
    ],
)
def test_effective_prior_of_a_recipe(
    recipe: str, settings: tuple[str, ...], expected: np.ndarray | None
) -> None:
    run = short(recipe, *settings)
    said = run.metrics["effective_prior"]
    if expected is None:
        assert said is None
        return
    if recipe in ("la_posthoc", "uno_ic"):  # counts after the cut of a validation part
        counts = np.array(run.metrics["data"]["counts"])
        assert counts.sum() < COUNTS.sum()
    np.testing.assert_allclose(said, expected / expected.sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("balanced_softmax", ("sampler=class_balanced",)),
        ("class_balanced", ("loss=la(tau=1.0)",)),
        ("cb", ("sampler=class_balanced",)),
    ],
)
def test_a_prior_corrected_twice_is_refused(recipe: str, settings: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="both correct the class prior") as caught:
        short(recipe, *settings)
    assert "allow_double" in caught.value.do


@pytest.fixture(scope="module")
def trained() -> dict[str, Run]:
    """One model of each kind, as trained."""
    return {name: short(name) for name in ("ce", "balanced_softmax")}


@pytest.fixture(scope="module")
def rows() -> torch.Tensor:
    """The test images."""
    from longtail.data import load

    test = load("digits-lt").test
    assert test is not None
    return test.store.fetch(torch.arange(len(test)))


@pytest.mark.parametrize(
    ("recipe", "target"),
    [
        ("ce", "as_trained"), ("ce", "natural"), ("ce", "uniform"), ("ce", "file"),
        ("balanced_softmax", "natural"), ("balanced_softmax", "uniform"),
    ],
)  # fmt: skip
def test_a_target_prior_governs_everything(
    trained: dict[str, Run], rows: torch.Tensor, tmp_path: Path, recipe: str, target: str
) -> None:
    wanted = {"natural": NATURAL, "uniform": UNIFORM, "file": np.arange(1, 11) / 55}
    said = target
    if target == "file":
        said = str(tmp_path / "prior.csv")
        lines = [f"{name},{i + 1}" for i, name in enumerate(trained[recipe].class_names)]
        Path(said).write_text("class,weight\n" + "\n".join(lines) + "\n")
    output = tmp_path / "run"
    run = short(recipe, target_prior=said, output=output)
    plain = trained[recipe].predict_logits(rows)
    effective = np.array(trained[recipe].metrics["effective_prior"])
    aim = effective if target == "as_trained" else wanted[target]
    expected = plain.double() + torch.from_numpy(np.log(aim) - np.log(effective))
    logits = run.predict_logits(rows)
    torch.testing.assert_close(logits.double(), expected, atol=1e-4, rtol=0)
    probability = run.predict_proba(rows)
    torch.testing.assert_close(probability, logits.softmax(-1))
    said_rows = np.load(output / "predictions.npz")
    np.testing.assert_array_equal(said_rows["prediction"], probability.argmax(1).numpy())
    hits = (said_rows["prediction"] == said_rows["target"]).mean()
    assert run.metrics["test"]["accuracy"] == pytest.approx(hits)
    again = load_run(output)
    assert torch.equal(again.predict_logits(rows), logits)
    if target == "as_trained" or (recipe, target) in (
        ("ce", "natural"),
        ("balanced_softmax", "uniform"),
    ):
        assert torch.equal(logits, plain), "nothing is added where nothing is to be moved"


def test_an_unknown_prior_cannot_be_moved() -> None:
    with pytest.raises(ConfigError, match="is not known"):
        short("ldam", target_prior="uniform")


def test_a_misspelt_target_prior_is_named() -> None:
    with pytest.raises(ConfigError, match="unifrom"):
        short("ce", target_prior="unifrom")


def test_the_target_is_kept_in_numbers(tmp_path: Path, rows: torch.Tensor) -> None:
    """A run answers alike once the file is gone, and a mapping is read back as it was given."""
    file, shares = tmp_path / "prior.csv", {str(c): c + 1 for c in range(10)}
    file.write_text("class,weight\n" + "".join(f"{k},{v}\n" for k, v in shares.items()))
    for number, said in enumerate((str(file), shares)):
        output = tmp_path / f"run-{number}"
        run = short("ce", target_prior=said, output=output)
        again = load_run(output)
        file.unlink(missing_ok=True)
        assert torch.equal(again.predict_logits(rows), run.predict_logits(rows))
        np.testing.assert_allclose(again.target, np.arange(1, 11) / 55)
        assert again.target_prior == run.metrics["target_prior"] == (str(file), "given")[number]


def test_a_run_is_aimed_at_other_priors(trained: dict[str, Run], rows: torch.Tensor) -> None:
    run = trained["balanced_softmax"]
    plain = run.predict_logits(rows)
    assert run.aim("natural") is run
    moved = run.predict_logits(rows) - plain
    expected = torch.from_numpy(np.log(NATURAL * 10)).float()
    torch.testing.assert_close(moved, expected.expand_as(moved), atol=1e-4, rtol=0)
    assert torch.equal(run.aim("as_trained").predict_logits(rows), plain)
    with pytest.raises(DataError, match="no labelled validation rows"):
        run.class_mix(plain, None)
    unknown = short("ldam")
    for ask in (lambda: unknown.aim("uniform"), lambda: unknown.class_mix(plain, None)):
        with pytest.raises(ConfigError, match="'ldam' answers to is not known"):
            ask()


def test_a_wrong_target_of_an_adjuster_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="10 entries"):
        short("pc_softmax", "target=[1, 2]", output=tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").is_file()
    with pytest.raises(ConfigError, match="no known word and no file"):
        short("uno_ic", "target=unifrom")
