"""Writes that fail, files that are not what they should be, losses that are not numbers."""

from __future__ import annotations

import json
import os
import pickle
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from longtail.engine.checkpoint import (
    load_tensors,
    optimizer_state,
    restore_optimizer,
    save_tensors,
    write_atomic,
)
from longtail.engine.runner import RunConfig, fit, load_run
from longtail.errors import CheckpointError, ConfigError, LongtailError, NonFiniteLossError


def two_lines(error: LongtailError) -> str:
    """The message, which says in two lines what was wrong and what to do."""
    text = str(error)
    assert len(text.splitlines()) == 2, text
    return text


def limited(size: int, action: Callable[[], None]) -> str:
    """What an action says when no file may grow past a size, in a fork that is limited alone."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            action()
            os.write(writing, b"written")
        except CheckpointError as error:
            os.write(writing, two_lines(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(process, 0)
    return said


def test_a_write_cut_short_leaves_the_file_before(tmp_path: Path) -> None:
    path = tmp_path / "latest.safetensors"
    first = {"network/w": torch.arange(1000.0)}
    save_tensors(path, first, {"step": 1})
    second = {"network/w": torch.zeros(1000)}
    said = limited(2000, lambda: save_tensors(path, second, {"step": 2}))
    assert "latest.safetensors could not be written: File too large" in said
    assert "--resume" in said
    tensors, about = load_tensors(path)
    assert about == {"step": 1}
    assert torch.equal(tensors["network/w"], first["network/w"])
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_run_goes_on_after_a_full_disk(tmp_path: Path, runs: Any, assert_same_run: Any) -> None:
    output, whole = tmp_path / "run", tmp_path / "whole"
    told = runs(output, "ce", epochs=1, limit=(7, 20_000))
    assert told["status"] == 1, told
    assert "latest.safetensors could not be written" in told["said"]
    assert len(told["said"].splitlines()) == 2
    _, about = load_tensors(output / "checkpoints" / "latest.safetensors")
    assert about == {"stage": 0, "epoch": 0, "step": 7}
    for folder in (output, whole):
        assert runs(folder, "ce", epochs=1)["status"] == 0
    assert_same_run(whole, output)


@pytest.fixture
def full_device(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB with nothing left but a little."""
    place = tmp_path / "device"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_device(full_device: Path) -> None:
    path = full_device / "latest.safetensors"
    save_tensors(path, {"w": torch.ones(4000)}, {"step": 1})
    with pytest.raises(CheckpointError, match="No space left") as caught:
        save_tensors(path, {"w": torch.zeros(14000)}, {"step": 2})
    two_lines(caught.value)
    tensors, about = load_tensors(path)
    assert about == {"step": 1}
    assert bool((tensors["w"] == 1).all())


def test_the_device_that_is_always_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``/dev/full`` takes no byte: the same error without any right to mount."""
    import builtins

    path = tmp_path / "latest.safetensors"
    write_atomic(path, b"before")
    real = builtins.open

    def full(file: Any, *args: Any, **options: Any) -> Any:
        return real("/dev/full" if str(file).endswith(".part") else file, *args, **options)

    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    monkeypatch.setattr(builtins, "open", full)
    with pytest.raises(CheckpointError, match="No space left"):
        write_atomic(path, b"after")
    assert path.read_bytes() == b"before"


def write_foreign(path: Path, kind: str) -> None:
    """A file that is no checkpoint of this version."""
    good = {"network/w": torch.arange(4.0)}
    header = {"schema": "1", "about": "{}"}
    if kind == "pickle":
        torch.save({"network/w": _Trap()}, path)
    elif kind == "old pickle":
        torch.save({"network/w": _Trap()}, path, _use_new_zipfile_serialization=False)
    elif kind == "plain pickle":
        path.write_bytes(pickle.dumps(_Trap(), protocol=0))
    elif kind == "version":
        path.write_bytes(save(good, metadata={**header, "schema": "99"}))
    elif kind == "foreign":
        path.write_bytes(save(good))
    elif kind == "half":
        whole = save(good, metadata=header)
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "about":
        path.write_bytes(save(good, metadata={**header, "about": "{"}))
    elif kind == "no about":
        path.write_bytes(save(good, metadata={"schema": "1"}))


class _Trap:
    """Unpickling it would fail the test."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle was loaded",)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("pickle", "carries a pickle"),
        ("old pickle", "carries a pickle"),
        ("plain pickle", "not a whole checkpoint"),
        ("version", "has layout 99, this version reads 1"),
        ("foreign", "has layout unknown"),
        ("half", "not a whole checkpoint"),
        ("empty", "not a whole checkpoint"),
        ("about", "does not fit"),
        ("no about", "does not fit"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, kind: str, said: str) -> None:
    path = tmp_path / "latest.safetensors"
    write_foreign(path, kind)
    with pytest.raises(CheckpointError, match=said) as caught:
        load_tensors(path)
    two_lines(caught.value)


@pytest.mark.parametrize("length", [640, 896, 1152, 1408, 19280])
def test_a_header_of_any_length_is_no_pickle(tmp_path: Path, length: int) -> None:
    """The file begins with the length of its header, which may look like a pickle's first bytes."""
    for pad in range(length):
        data = save({"w": torch.ones(2)}, metadata={"schema": "1", "about": "{}", "pad": "x" * pad})
        size = int.from_bytes(data[:8], "little")
        if size >= length:
            break
    assert size == length
    (tmp_path / "a.safetensors").write_bytes(data)
    assert load_tensors(tmp_path / "a.safetensors")[0]["w"].tolist() == [1, 1]


@pytest.fixture(scope="module")
def half_done(runs: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two stages, killed in its second."""
    output = tmp_path_factory.mktemp("half") / "run"
    runs(output, "crt", traps=[{"name": "end-1.safetensors", "when": "before"}])
    assert (output / "checkpoints" / "latest.safetensors").is_file()
    return output


@pytest.mark.parametrize("name", ["latest", "start-1", "end-0"])
@pytest.mark.parametrize("kind", ["missing", "pickle", "half", "version"])
def test_a_run_names_the_file_it_cannot_go_on_from(
    half_done: Path, tmp_path: Path, name: str, kind: str
) -> None:
    import shutil

    output = tmp_path / "run"
    shutil.copytree(half_done, output)
    path = output / "checkpoints" / f"{name}.safetensors"
    if kind == "missing":
        tensors, about = load_tensors(path)
        left = {k: v for k, v in tensors.items() if not k.endswith("head.weight")}
        save_tensors(path, left, about)
    else:
        write_foreign(path, kind)
    config = RunConfig("digits-lt", "crt", epochs=2, output=output, resume=True, progress=False)
    with pytest.raises(CheckpointError) as caught:
        fit(config)
    assert name in two_lines(caught.value) or kind == "missing"


def test_a_finished_model_that_lacks_entries(runs: Any, tmp_path: Path) -> None:
    output = tmp_path / "run"
    assert runs(output, "ce", epochs=1)["status"] == 0
    tensors, about = load_tensors(output / "model.safetensors")
    tensors.pop("network/head.weight")
    save_tensors(output / "model.safetensors", tensors, about)
    with pytest.raises(CheckpointError, match=r"head\.weight") as caught:
        load_run(output)
    two_lines(caught.value)


def test_restored_moments_lie_as_their_parameters() -> None:
    """Fused optimisers walk by address: the layout in memory is part of the state."""
    w = torch.nn.Parameter(torch.randn(4, 3, 2, 2).contiguous(memory_format=torch.channels_last))
    first, again = (torch.optim.AdamW([w], lr=0.1, fused=True) for _ in range(2))
    w.grad = torch.randn_like(w)
    first.step()
    kept = {k: v.contiguous() for k, v in optimizer_state(first).items()}
    restore_optimizer(again, kept)
    for name in ("exp_avg", "exp_avg_sq"):
        assert again.state[w][name].stride() == w.stride()
        assert torch.equal(again.state[w][name], first.state[w][name])


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    output = tmp_path / "run"
    config = RunConfig(
        "digits-lt", "ce", set=("optimizer=sgd(lr=1e20)",), epochs=1, output=output,
        progress=False, checkpoint_seconds=0.0,
    )  # fmt: skip
    with pytest.raises(NonFiniteLossError) as caught:
        fit(config)
    text = two_lines(caught.value)
    assert "the loss became" in text
    for word in ("stage 'train'", "epoch 1", "step ", "training rows ["):
        assert word in text
    tensors, about = load_tensors(output / "checkpoints" / "latest.safetensors")
    assert about["step"] >= 1
    assert all(bool(torch.isfinite(v).all()) for k, v in tensors.items() if k[:8] == "network/")
    assert not (output / "metrics.json").exists()


def test_the_parts_of_a_broken_loss_are_named(tmp_path: Path) -> None:
    config = RunConfig(
        "digits-lt", "sade", set=("optimizer=sgd(lr=1e20)",), epochs=1, progress=False
    )
    with pytest.raises(NonFiniteLossError, match=r"forward .*uniform .*backward"):
        fit(config)


def test_a_last_step_that_breaks_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last loss was finite; the weights after it are not: no such model is handed on."""
    from longtail.engine.update import Plain

    finish = Plain.finish
    steps = []

    def broken(self: Plain, ctx: Any, terms: Any) -> Any:
        done = finish(self, ctx, terms)
        steps.append(1)
        if len(steps) == 21:
            with torch.no_grad():
                self.parameters[0].mul_(float("inf"))
        return done

    monkeypatch.setattr(Plain, "finish", broken)
    with pytest.raises(NonFiniteLossError, match="weights that are not finite") as caught:
        fit(RunConfig("digits-lt", "ce", epochs=1, progress=False))
    two_lines(caught.value)


def test_an_output_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    config = RunConfig("digits-lt", "ce", epochs=1, output=tmp_path / "file" / "x", progress=False)
    with pytest.raises(ConfigError, match="cannot be made") as caught:
        fit(config)
    two_lines(caught.value)


def test_logs_and_json_that_cannot_be_written(tmp_path: Path) -> None:
    from longtail.engine.folder import RunFolder

    folder = RunFolder(tmp_path)
    folder.log({"epoch": 1})
    folder.save("metrics.json", {"a": 1})
    long = {"a": "b" * 90}
    assert "metrics.jsonl could not be written" in limited(20, lambda: folder.log(long))
    said = limited(20, lambda: folder.save("metrics.json", long))
    assert "metrics.json could not be written" in said
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"a": 1}


def test_predictions_are_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up while they are written is one clear error, and leaves no half file."""
    from longtail.engine.run import Predictions

    column = np.zeros(2)
    said = Predictions(["a", "b"], column, column, column, column)
    said.save(tmp_path / "predictions.npz")
    before = (tmp_path / "predictions.npz").read_bytes()

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="could not be written"):
        said.save(tmp_path / "predictions.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["predictions.npz"]
    assert (tmp_path / "predictions.npz").read_bytes() == before
