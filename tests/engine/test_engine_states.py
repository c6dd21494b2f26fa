"""State of losses and weights that follow the model: over ranks, micro-batches, overflow, resume."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.engine.states import States, watched
from tests.engine.test_engine_ranks import SGD, TOLERANCE, difference, table, torchrun

from longtail.engine.runner import RunConfig, fit
from longtail.engine.train import Saver

HERE = Path(__file__).resolve().parent

# -- two ranks -------------------------------------------------------------------------------------

#: recipe -> settings; measured at epochs of which some are not the first
MEASURED: dict[str, tuple[str, ...]] = {
    "eqlv2": (SGD,),
    "cdb": (SGD,),
    "area": (SGD, "start=0.25", "batch=8"),
    "uncertainty_margin": ("optimizer=sgd(lr=0.01)",),  # cosines times 30: rounding grows with it
    "influence_balanced": ("optimizer=sgd(lr=0.01)",),
}


class Launched:
    """One launch of all cases on two ranks, and the same on one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        data = str(table(folder))
        base = {"epochs": 4, "batch_size": 16, "progress": False}
        configs = {n: {**base, "data": data, "recipe": n, "set": s} for n, s in MEASURED.items()}
        configs["digits"] = {
            **base, "data": "digits-lt", "recipe": "eqlv2", "set": (SGD,), "epochs": 2,
            "batch_size": 32,
        }  # fmt: skip
        self.configs = configs
        two = [{**c, "output": str(folder / f"{n}-two")} for n, c in configs.items()]
        file = folder / "cases.json"
        file.write_text(json.dumps(two))
        done = torchrun([str(HERE / "states.py"), str(file)])
        assert done.returncode == 0, done.stdout[-4000:]
        told = [json.loads(file.with_suffix(f".rank{r}.json").read_text()) for r in (0, 1)]
        self.ranks = [dict(zip(configs, one, strict=True)) for one in told]

    def alone(self, name: str, **more: Any) -> States:
        """The states of the run on one rank."""
        with watched() as seen:
            fit(RunConfig(**self.configs[name], output=self.folder / f"{name}-one", **more))
        return seen


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    return Launched(tmp_path_factory.mktemp("states"))


def far(one: States, other: States) -> float:
    """Largest difference, relative where numbers are large."""
    assert [s.keys() for s in one] == [s.keys() for s in other]
    pairs = [(a, b) for s, t in zip(one, other, strict=True) for k in s for a, b in zip(s[k], t[k], strict=True)]  # fmt: skip
    return max(abs(a - b) / max(1.0, abs(a)) for a, b in pairs)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MEASURED)
def test_two_ranks_keep_the_state_of_one(launched: Launched, name: str) -> None:
    """Without BatchNorm two ranks are the full batch: the same parameters, the same buffers."""
    one = launched.alone(name)
    assert launched.ranks[0][name] == launched.ranks[1][name], "the ranks differ"
    assert far(one, launched.ranks[0][name]) <= TOLERANCE
    folder = launched.folder
    assert difference(folder / f"{name}-one", folder / f"{name}-two", statistics=True) <= TOLERANCE
    if name != "influence_balanced":  # which has no state but its class weights
        assert one[0] != one[-1], "the state never moved"


@pytest.mark.timeout(600)
def test_two_ranks_keep_the_state_of_two_micro_batches(launched: Launched) -> None:
    one = launched.alone("digits", accumulate=2)
    assert launched.ranks[0]["digits"] == launched.ranks[1]["digits"]
    assert far(one, launched.ranks[0]["digits"]) <= TOLERANCE
    folder = launched.folder
    assert difference(folder / "digits-one", folder / "digits-two") <= TOLERANCE
    total = sum(one[-1]["positive"]) + sum(one[-1]["negative"])
    assert total > 10, "gradients of an epoch"


# -- resume ----------------------------------------------------------------------------------------


class Stopped(Exception):
    """The run ends here, as by a kill."""


@contextlib.contextmanager
def stopped_at(epoch: int, step: int) -> Iterator[None]:
    """Stop once the state of that step has been saved."""
    saved = Saver.on_step

    def on_step(self: Saver, stage: Any, now: int, at: int, tally: Any) -> None:
        saved(self, stage, now, at, tally)
        if (now, at) == (epoch, step):
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Saver, "on_step", on_step)
        yield


RESUMED: dict[str, tuple[str, ...]] = {
    "eqlv2": (),
    "cdb": (),
    "area": ("start=0.5",),
    "uncertainty_margin": (),
    "influence_balanced": (),
}


@pytest.mark.parametrize("recipe", RESUMED)
def test_resumed_in_mid_epoch_to_the_same_bits(
    recipe: str, tmp_path: Path, assert_same_run: Any
) -> None:
    """Stopped in an epoch that has measured: weights, margins and sums go on where they were."""
    config: dict[str, Any] = {
        "data": "digits-lt", "recipe": recipe, "set": RESUMED[recipe], "epochs": 4,
        "progress": False, "checkpoint_seconds": 0.0,
    }  # fmt: skip
    with watched() as whole:
        fit(RunConfig(**config, output=tmp_path / "whole"))
    for epoch, step in ((0, 5), (2, 7), (3, 2)):
        with stopped_at(epoch, step), pytest.raises(Stopped):
            fit(RunConfig(**config, output=tmp_path / "halved", resume=True))
    with watched() as rest:
        fit(RunConfig(**config, output=tmp_path / "halved", resume=True))
    assert rest == whole[3:]
    if recipe != "influence_balanced":
        assert whole[0] != whole[-1], "the state never moved"
    assert_same_run(tmp_path / "whole", tmp_path / "halved")


@pytest.mark.parametrize(
    ("recipe", "settings"), [("eqlv2", ()), pytest.param("area", ("start=0.0",))]
)
def test_killed_in_mid_epoch_to_the_same_bits(
    runs: Any, tmp_path: Path, assert_same_run: Any, recipe: str, settings: tuple[str, ...]
) -> None:
    """``kill -9`` after the state of a step is on disk, three times over."""
    whole, output = tmp_path / "whole", tmp_path / "killed"
    assert runs(whole, recipe, set=settings)["status"] == 0
    trap = [{"name": "latest.safetensors", "when": "after"}]
    for _ in range(3):
        told = runs(output, recipe, traps=trap, set=settings)
        assert told["status"] == -signal.SIGKILL, told
    assert runs(output, recipe, set=settings)["status"] == 0
    assert_same_run(whole, output)
