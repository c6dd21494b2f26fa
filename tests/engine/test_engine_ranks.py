"""Two processes train what one process trains on the same two half-batches as micro-batches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from longtail.engine.runner import RunConfig, fit

HERE = Path(__file__).resolve().parent
TOLERANCE = 1e-6
#: SGD in these tests: Adam divides by the size of a gradient, so that where one is nothing but
#: rounding (1e-9) its sign decides a whole step; SGD shows the gradients as they are.
SGD = "optimizer=sgd(lr=0.05)"
WEIGHTED = "loss=balanced_softmax(weight=effective_number(beta=0.999), reduction=weighted_mean)"

#: name -> (recipe, settings, further options); batches of 30 and 31 rows: shares are uneven
CASES: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    "ce": ("ce", (SGD,), {}),
    "mixup": ("mixup", (SGD,), {}),
    "sade": ("sade", (SGD,), {}),
    "bbn": ("bbn", (SGD,), {"epochs": 2}),
    "paco": ("paco", (SGD, "queue=64"), {}),
    "cb": ("cb", (SGD, "beta=0.999"), {}),
    "weighted": ("balanced_softmax", (SGD, WEIGHTED, "allow_double=true"), {}),
    "meta_weight_net": ("meta_weight_net", (SGD,), {}),
    # a frozen trunk in eval mode would bring the running statistics, which do differ, into play
    "crt": ("crt", (SGD, "stages.1.optimizer=sgd(lr=0.05)", "bn=train"), {"epochs": 2}),
    "bilateral": ("bilateral", (SGD,), {}),
    "dcl": ("dcl", (SGD,), {}),
    "quintuplet": ("quintuplet", (SGD,), {}),
    "meta_sampler": (
        "meta_sampler",
        (SGD, "stages.1.optimizer=sgd(lr=0.05)", "stages.1.bn=train", "cache=null"),
        {"epochs": 2},
    ),
    "average": ("ce", (SGD, "ema=0.9", "clip=0.5"), {}),
    # counts told by every row, and noise keyed by the row
    "seesaw": ("seesaw", (SGD, "counts=online"), {"epochs": 2}),
    "gcl": ("gcl", (SGD, "stages.1.optimizer=sgd(lr=0.05)", "bn=train"), {"epochs": 2}),
    "eql": ("eql", (SGD,), {}),
    "drs": ("drw", (SGD, "resample=true", "defer_until=0.5"), {"epochs": 2}),
}
PLAIN = (
    "paco", "weighted", "meta_weight_net", "crt", "bilateral", "meta_sampler", "average", "seesaw", "gcl",
)  # fmt: skip


def config_of(name: str, output: Path, **more: Any) -> dict[str, Any]:
    """The options of a case as plain data."""
    recipe, settings, options = CASES[name]
    out = {"data": "digits-lt", "recipe": recipe, "set": settings, "epochs": 1, "batch_size": 32}
    return {**out, "progress": False, **options, "output": str(output), **more}


def torchrun(command: list[str], seconds: float = 360) -> subprocess.CompletedProcess[str]:
    """Two ranks, killed with all that they started when they hang."""
    launcher = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    process = subprocess.Popen(
        launcher + command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        pytest.fail(f"two ranks hang:\n{said[-2000:]}")
    return subprocess.CompletedProcess(command, process.returncode, said)


def two_ranks(folder: Path, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run cases on two ranks; what each rank saw."""
    file = folder / "cases.json"
    file.write_text(json.dumps(cases))
    done = torchrun([str(HERE / "ranked.py"), str(file)])
    assert done.returncode == 0, done.stdout[-4000:]
    assert "warn" not in done.stdout.lower(), done.stdout[-4000:]
    seen = [json.loads(file.with_suffix(f".rank{r}.json").read_text()) for r in (0, 1)]
    assert seen[0]["random"] != [], "every rank came to its end"
    return seen


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Tensors of the trained model."""
    return {k: v.double() for k, v in load_file(folder / "model.safetensors").items()}


def difference(one: Path, other: Path, *, statistics: bool = False) -> float:
    """Largest difference of two models, running statistics of BatchNorm apart."""
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    apart = ("running_mean", "running_var", "num_batches_tracked")
    names = [k for k in a if statistics or not k.endswith(apart)]
    return max(float((a[k] - b[k]).abs().max()) for k in names)


def compare_case(folder: Path, name: str, seen: list[Any]) -> None:
    """Train a case, as micro-batches, on one rank and compare."""
    one = fit(RunConfig(**config_of(name, folder / f"{name}-one", accumulate=2)))
    for rank in (0, 1):
        steps, total, buffers, owns = seen[rank]
        assert steps == one.metrics["steps"]
        assert [total, buffers] == seen[0][1:3], "the ranks differ"
        assert owns == (rank == 0), "only the first rank owns the folder"
    two = folder / f"{name}-two"
    assert json.loads((two / "metrics.json").read_text())["steps"] == one.metrics["steps"]
    lines = (two / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == one.metrics["epochs"], "one rank writes the log"
    assert difference(folder / f"{name}-one", two) <= TOLERANCE


def table(folder: Path) -> Path:
    """A small long-tailed table of three clouds of points."""
    draw = np.random.default_rng(0)
    counts = (60, 31, 12)
    y = np.repeat(np.arange(3), counts)
    x = draw.normal(size=(len(y), 5)) + 1.5 * np.eye(3, 5)[y]
    xt, yt = draw.normal(size=(30, 5)) + 1.5 * np.eye(3, 5)[np.arange(30) % 3], np.arange(30) % 3
    np.savez(folder / "table.npz", x_train=x, y_train=y, x_test=xt, y_test=yt)
    return folder / "table.npz"


class Launched:
    """What two ranks did in one launch of many runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        base = {"data": str(table(folder)), "epochs": 4, "batch_size": 16, "progress": False}
        self.tables: dict[str, dict[str, Any]] = {
            "ce-table": {**base, "recipe": "ce", "set": (SGD,)},
            "cb-table": {**base, "recipe": "cb", "set": (SGD, "beta=0.99")},
            "held-table": {**base, "recipe": "ce", "set": (SGD, "update=max_norm")},
        }
        cases: list[dict[str, Any]] = [{"config": config_of(n, folder / f"{n}-two")} for n in PLAIN]
        for name, config in self.tables.items():
            cases.append({"config": {**config, "output": str(folder / f"{name}-two")}})
        whole = config_of("paco", folder / "whole", epochs=3, checkpoint_seconds=0.0)
        stopped = {**whole, "output": str(folder / "stopped"), "resume": True}
        cases += [
            {"config": whole},
            {"config": stopped, "stop": [0, 0]},
            {"config": stopped, "stop": [0, 1]},
            {"config": stopped},
            {"config": stopped},
        ]
        seen = two_ranks(folder, cases)
        self.seen = [[one[str(n)] for n in range(len(cases))] for one in seen]


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    """One launch for all plain tests of this page: starting two ranks takes longest."""
    return Launched(tmp_path_factory.mktemp("ranks"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PLAIN)
def test_two_ranks_are_two_micro_batches(launched: Launched, name: str) -> None:
    number = PLAIN.index(name)
    compare_case(launched.folder, name, [seen[number] for seen in launched.seen])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["ce-table", "cb-table", "held-table"])
def test_two_ranks_are_the_full_batch_without_batchnorm(launched: Launched, name: str) -> None:
    folder = launched.folder
    fit(RunConfig(**launched.tables[name], output=folder / f"{name}-one"))
    far = difference(folder / f"{name}-one", folder / f"{name}-two", statistics=True)
    assert far <= TOLERANCE


@pytest.mark.timeout(600)
def test_two_ranks_resume_to_the_same_bits(launched: Launched) -> None:
    folder = launched.folder
    for rank in (0, 1):
        whole, *stops, resumed, again = launched.seen[rank][-5:]
        assert stops == ["stopped", "stopped"]
        assert resumed[:3] == whole[:3]
        assert again[0] == whole[0], "a finished run returns at once, on every rank"
    assert difference(folder / "whole", folder / "stopped", statistics=True) == 0
    assert len((folder / "stopped" / "metrics.jsonl").read_text().splitlines()) == 3


@pytest.mark.full
@pytest.mark.timeout(600)
def test_two_ranks_are_two_micro_batches_of_the_rest(tmp_path: Path) -> None:
    names = [n for n in CASES if n not in PLAIN]
    seen = two_ranks(tmp_path, [{"config": config_of(n, tmp_path / f"{n}-two")} for n in names])
    for number, name in enumerate(names):
        compare_case(tmp_path, name, [one[str(number)] for one in seen])


@pytest.mark.full
@pytest.mark.timeout(600)
def test_the_command_line_on_two_ranks(tmp_path: Path) -> None:
    """``torchrun -m longtail train``: one rank writes and speaks."""
    output = tmp_path / "run"
    done = torchrun(
        ["-m", "longtail", "train", "digits-lt", "--epochs", "1", "--output", str(output)]
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert done.stdout.count("balanced accuracy") == 1, done.stdout
    assert (output / "report.html").is_file()
    assert not list(output.glob(".*.part"))
