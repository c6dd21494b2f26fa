"""``--output`` and ``--resume``: continue, return at once, or refuse with the reason."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from longtail.engine.folder import RunFolder, differences
from longtail.engine.runner import RunConfig, fit
from longtail.engine.stage import Recipe
from longtail.errors import ConfigError
from longtail.registry import part

BASE = RunConfig("digits-lt", "la", epochs=1, progress=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    output = tmp_path_factory.mktemp("finished") / "run"
    fit(dataclasses.replace(BASE, output=output))
    return output


def again(output: Path, **changes: Any) -> Any:
    return fit(dataclasses.replace(BASE, output=output, resume=True, **changes))


def test_a_finished_run_returns_at_once(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import longtail.engine.runner as runner

    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*")}
    monkeypatch.setattr(runner, "Trainer", None)
    run = again(finished)
    assert run.metrics == json.loads((finished / "metrics.json").read_text())
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*")} == before


def test_a_dictionary_in_a_part_is_resumed(tmp_path: Path) -> None:
    """Class ids stay numbers in the folder, for the same run and for another."""
    said = "sampler=to_counts(target={0: 20, 9: 30})"
    first = again(tmp_path / "run", recipe="ce", set=(said,))
    assert again(tmp_path / "run", recipe="ce", set=(said,)).metrics == first.metrics
    with pytest.raises(ConfigError, match=r"sampler\.target.*30.*40"):
        again(tmp_path / "run", recipe="ce", set=(said.replace("30", "40"),))
    kept = Recipe.from_data(json.loads((tmp_path / "run" / "run.json").read_text())["recipe"])
    assert kept.stages[0].sampler == part("to_counts", target={0: 20, 9: 30})


def test_another_run_is_never_overwritten(finished: Path) -> None:
    with pytest.raises(ConfigError, match="holds a run of 'la'") as caught:
        fit(dataclasses.replace(BASE, output=finished))
    assert caught.value.do == "choose another --output, or continue it with --resume"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"set": ("tau=2.0",)}, r"tau: .*2\.0"),
        ({"recipe": "ce"}, "recipe.name: 'la' -> 'ce'"),
        ({"epochs": 2}, "epochs: 1 -> 2"),
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"lr": 0.5}, r"lr: None -> 0\.5"),
        ({"batch_size": 32}, "batch_size: 16 -> 32"),
        ({"imbalance_factor": 10}, "fingerprint"),
        ({"precision": "bf16"}, "precision"),
        ({"target_prior": "uniform"}, "target_prior"),
        ({"set": ("clip=1.0",)}, "clip"),
        ({"validation": 0.2}, "fingerprint"),
    ],
)
def test_a_changed_run_is_refused_with_the_fields(
    finished: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        again(finished, **changes)
    assert len(str(caught.value).splitlines()) == 2


def test_workers_and_cadence_may_change(finished: Path) -> None:
    assert again(finished, workers=1, checkpoint_seconds=1.0, progress=False).metrics["steps"] == 21


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(ConfigError, match="exists and holds no run"):
            fit(dataclasses.replace(BASE, output=tmp_path, resume=resume))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_what_a_run_left_before_its_first_file_is_not_foreign(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / ".run.json.17.part").write_text("{")
    assert RunFolder(tmp_path).open({}, resume=True) is False
    assert not (tmp_path / ".run.json.17.part").exists()
    (tmp_path / "checkpoints" / "end-0.safetensors").write_text("")
    with pytest.raises(ConfigError, match="holds no run"):
        RunFolder(tmp_path).open({}, resume=True)


def test_another_layout_is_refused(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps({**info, "schema": 99}))
    with pytest.raises(ValueError, match="layout 99") as caught:
        again(tmp_path / "run")
    assert len(str(caught.value).splitlines()) == 2


def test_without_output_nothing_is_read_or_written(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The working directory may hold a run; it is not this one."""
    shutil.copytree(finished, tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    before = sorted(p.name for p in Path().rglob("*"))
    run = fit(dataclasses.replace(BASE, seed=5))
    assert run.metrics["steps"] == 21
    assert sorted(p.name for p in Path().rglob("*")) == before


def test_differences_name_the_path() -> None:
    old = {"a": {"b": [1, {"c": 2}]}, "d": 1}
    assert differences(old, {"a": {"b": [1, {"c": 3}]}, "d": 1}) == ["a.b.1.c: 2 -> 3"]
    assert differences(old, {"a": {"b": [1]}, "d": 1, "e": None}) == ["a.b: [1, {'c': 2}] -> [1]"]


@pytest.mark.usefixtures("untouched_randomness")
@pytest.mark.parametrize("recipe", ["meta_weight_net", "paco", "pseudo_label"])
def test_a_run_leaves_global_randomness_alone(recipe: str) -> None:
    fit(dataclasses.replace(BASE, recipe=recipe))


def test_seeds_decide_everything() -> None:
    def weights(seed: int) -> torch.Tensor:
        run = fit(dataclasses.replace(BASE, recipe="mixup", seed=seed))
        return torch.cat([p.detach().flatten() for p in run.network.parameters()])

    first, torch_state = weights(3), torch.get_rng_state()
    torch.manual_seed(99)
    assert torch.equal(first, weights(3)), "the global generator reached the run"
    torch.set_rng_state(torch_state)
    assert not torch.equal(first, weights(4))
