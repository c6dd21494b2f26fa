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
    "average": ("ce", (SGD, "ema=0.9", "clip=0.5"), {}),
}
PLAIN = ("ce", "bbn", "paco", "weighted", "meta_weight_net", "crt", "average")


def config_of(name: str, output: Path, **more: Any) -> dict[str, Any]:
    """The options of a case as plain data."""
    recipe, settings, options = CASES[name]
    out = {"data": "digits-lt", "recipe": recipe, "set": settings, "epochs": 1, "batch_size": 32}
    return {**out, "progress": False, **options, "output": str(output), **more}


def torchrun(command: list[str], seconds: float = 240) -> subprocess.CompletedProcess[str]:
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


def compare_cases(folder: Path, names: tuple[str, ...]) -> None:
    """Train cases on two ranks and, as micro-batches, on one."""
    seen = two_ranks(folder, [{"config": config_of(n, folder / f"{n}-two")} for n in names])
    far = {}
    for number, name in enumerate(names):
        one = fit(RunConfig(**config_of(name, folder / f"{name}-one", accumulate=2)))
        for rank in (0, 1):
            steps, total, buffers, owns = seen[rank][str(number)]
            assert steps == one.metrics["steps"]
            assert (total, buffers) == tuple(seen[0][str(number)][1:3]), "the ranks differ"
            assert owns == (rank == 0), "only the first rank owns the folder"
        two = folder / f"{name}-two"
        assert json.loads((two / "metrics.json").read_text())["steps"] == one.metrics["steps"]
        lines = (two / "metrics.jsonl").read_text().splitlines()
        assert len(lines) == one.metrics["epochs"], "one rank writes the log"
        far[name] = difference(folder / f"{name}-one", two)
    assert not {n: d for n, d in far.items() if d > TOLERANCE}


@pytest.mark.timeout(400)
def test_two_ranks_are_two_micro_batches(tmp_path: Path) -> None:
    compare_cases(tmp_path, PLAIN)


@pytest.mark.full
@pytest.mark.timeout(400)
def test_two_ranks_are_two_micro_batches_of_the_rest(tmp_path: Path) -> None:
    compare_cases(tmp_path, tuple(n for n in CASES if n not in PLAIN))


def table(folder: Path) -> Path:
    """A small long-tailed table of two clouds of points."""
    draw = np.random.default_rng(0)
    counts = (60, 31, 12)
    y = np.repeat(np.arange(3), counts)
    x = draw.normal(size=(len(y), 5)) + 1.5 * np.eye(3, 5)[y]
    xt, yt = draw.normal(size=(30, 5)) + 1.5 * np.eye(3, 5)[np.arange(30) % 3], np.arange(30) % 3
    np.savez(folder / "table.npz", x_train=x, y_train=y, x_test=xt, y_test=yt)
    return folder / "table.npz"


@pytest.mark.timeout(400)
def test_two_ranks_are_the_full_batch_and_resume(tmp_path: Path) -> None:
    """Without BatchNorm two ranks are one; stopped and resumed they are the same bits."""
    base: dict[str, Any] = {
        "data": str(table(tmp_path)), "epochs": 4, "batch_size": 16, "progress": False,
        "checkpoint_seconds": 0.0, "set": (SGD,),
    }  # fmt: skip
    weighted = {**base, "recipe": "cb", "set": (SGD, "beta=0.99")}
    image = config_of("paco", tmp_path / "image", epochs=3, checkpoint_seconds=0.0)
    stopped = {**image, "output": str(tmp_path / "stopped"), "resume": True}
    names = ("plain", "weighted")
    cases = [
        {"config": {**base, "recipe": "ce", "output": str(tmp_path / "plain-two")}},
        {"config": {**weighted, "output": str(tmp_path / "weighted-two")}},
        {"config": image},
        {"config": stopped, "stop": [0, 0]},
        {"config": stopped, "stop": [0, 1]},
        {"config": stopped},
        {"config": stopped},
    ]
    seen = two_ranks(tmp_path, cases)
    assert [seen[r][n] for r in (0, 1) for n in "34"] == ["stopped"] * 4
    assert seen[0]["5"][0] == seen[0]["6"][0] == seen[0]["2"][0]
    assert difference(tmp_path / "image", tmp_path / "stopped", statistics=True) == 0
    assert len((tmp_path / "stopped" / "metrics.jsonl").read_text().splitlines()) == 3
    for name, config in zip(names, ({**base, "recipe": "ce"}, weighted), strict=True):
        fit(RunConfig(**config, output=tmp_path / f"{name}-one"))
        far = difference(tmp_path / f"{name}-one", tmp_path / f"{name}-two", statistics=True)
        assert far <= TOLERANCE


@pytest.mark.full
@pytest.mark.timeout(400)
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
