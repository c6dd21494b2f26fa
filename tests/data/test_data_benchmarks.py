"""Built-in sets."""

from __future__ import annotations

import gzip
import os
import pickle
import struct

import numpy as np
import pytest
import torch

from longtail import registry
from longtail.data import load
from longtail.data.archives import read_pickle
from longtail.data.chunked import read_chunked
from longtail.errors import ConfigError, DataError, UnknownNameError

DIGITS = [120, 77, 50, 32, 21, 13, 8, 5, 3, 2]


def test_digits_lt(untouched_randomness):
    found = load("digits-lt")
    assert found.counts.tolist() == DIGITS
    assert found.test.counts(10).tolist() == [50] * 10
    assert found.train.store.data.shape == (331, 1, 8, 8)
    assert found.train.store.data.dtype == torch.uint8
    assert int(found.train.store.data.max()) == 255
    assert found.class_names == tuple("0123456789")
    assert found.default_backbone == "small_cnn"
    assert str(found.default_augment) == "shift(pixels=1)"
    assert not set(found.train.ids) & set(found.test.ids)
    assert load("digits_lt").fingerprint == found.fingerprint
    levels = np.unique(found.train.store.data.numpy())
    assert set(levels) <= set((np.arange(17) * 255 / 16).round().astype(int))


def test_digits_lt_follows_the_published_choice():
    from sklearn.datasets import load_digits

    bunch, stream = load_digits(), np.random.RandomState(0)
    found = load("digits-lt", imbalance_factor=10)
    expected = []
    for c in range(10):
        order = stream.permutation(np.where(bunch.target == c)[0])
        expected += order[50 : 50 + int(120 * 10 ** (-c / 9))].tolist()
    assert found.train.ids == [f"digit/{i}" for i in expected]


def test_digits_options():
    found = load("digits-lt", validation=True)
    assert found.validation.counts(10).tolist() == [12, 8, 5, 3, 2, 1, 1, 1, 0, 0]
    assert (found.counts + found.validation.counts(10)).tolist() == DIGITS
    hidden = load("digits-lt", labelled_share=0.1)
    assert hidden.counts.tolist() == [12, 8, 5, 3, 2, 1, 1, 1, 1, 1]
    assert len(hidden.unlabelled) + len(hidden.train) == 331
    assert (hidden.unlabelled.labels == -1).all()
    with pytest.raises(ConfigError, match="without a sample"):
        load("digits-lt", imbalance_factor=200)
    with pytest.raises(ConfigError, match="does not read the option"):
        load("digits-lt", label="x")
    with pytest.raises(UnknownNameError, match="imbalance_factor"):
        load("digits-lt", imbalance_facto=3)


def test_every_record_names_a_builder():
    names = [r.name for r in registry.records("datasets")]
    assert names[0] == "digits-lt"
    assert len(names) == 7
    assert all(callable(r.load()) for r in registry.records("datasets"))


@pytest.mark.parametrize("name", [r.name for r in registry.records("datasets")][1:])
def test_missing_files_are_named(name, tmp_path, monkeypatch):
    monkeypatch.setenv("LONGTAIL_DATA", str(tmp_path))
    with pytest.raises(DataError) as caught:
        load(name)
    text = str(caught.value)
    assert str(tmp_path) in text
    assert "train" in text
    assert len(text.splitlines()) == 2


@pytest.fixture
def shared_data(shared_root):
    if shared_root is None:
        pytest.skip("no shared folder with image sets (set LONGTAIL_SHARED)")
    return shared_root / "data"


def test_fashion_mnist_lt(shared_data):
    found = load("fashion-mnist-lt", data_root=shared_data)
    assert found.counts.tolist() == [6000, 3596, 2156, 1292, 774, 464, 278, 166, 100, 60]
    assert found.test.counts(10).tolist() == [1000] * 10
    assert found.benchmark
    assert found.input_spec.shape == (1, 28, 28)
    tail = load("fashion-mnist-lt", data_root=shared_data / "fashion_mnist", imbalance_factor=200)
    assert tail.counts[-1] == 30
    first = [i for i, c in zip(found.train.ids, found.train.labels.tolist()) if c == 9]
    assert [i for i, c in zip(tail.train.ids, tail.train.labels.tolist()) if c == 9] == first[:30]
    with pytest.raises(ConfigError, match="original files"):
        load("fashion-mnist-lt", data_root=shared_data, imbalance_factor=50)


@pytest.mark.full
def test_cifar_lt(shared_data):
    ten = load("cifar10-lt", data_root=shared_data, imbalance_factor=50)
    assert ten.counts.tolist() == [5000, 3237, 2096, 1357, 878, 568, 368, 238, 154, 100]
    assert len(set(ten.train.ids)) == 13996
    hundred = load("cifar100-lt", data_root=shared_data)
    groups, _ = hundred.stats().groups()
    assert [len(groups[g]) for g in ("many", "medium", "few")] == [35, 35, 30]
    assert hundred.class_names[:2] == ("apple", "aquarium_fish")


def cifar10_arrays():
    rng = np.random.RandomState(1)
    images = rng.randint(0, 256, (500, 3072)).astype(np.uint8)
    labels = rng.permutation(np.repeat(np.arange(10), 50))
    return images, labels


def test_original_cifar10_python_and_binary_agree(tmp_path):
    images, labels = cifar10_arrays()
    python, binary = tmp_path / "a/cifar-10-batches-py", tmp_path / "b/cifar-10-batches-bin"
    python.mkdir(parents=True)
    binary.mkdir(parents=True)
    names = [f"data_batch_{i}" for i in range(1, 6)]
    for i, name in enumerate([*names, "test_batch"]):
        at = slice(100 * i, 100 * i + 100) if i < 5 else slice(0, 100)
        batch = {b"data": images[at], b"labels": labels[at].tolist(), b"batch_label": b"x"}
        (python / name).write_bytes(pickle.dumps(batch, protocol=2))
        rows = np.concatenate([labels[at, None].astype(np.uint8), images[at]], 1)
        rows.tofile(binary / f"{name}.bin")
    one = load("cifar10-lt", data_root=tmp_path / "a", imbalance_factor=10)
    two = load("cifar10-lt", data_root=tmp_path / "b", imbalance_factor=10)
    assert one.counts.tolist() == [int(50 * 10 ** (-i / 9)) for i in range(10)]
    assert one.fingerprint == two.fingerprint
    position = int(one.train.ids[0].split("/")[1])
    assert labels[position] == 0
    assert one.train.store.data[0].flatten().tolist() == images[position].tolist()
    step = load("cifar10-lt", data_root=tmp_path / "a", imbalance_factor=10, profile="step")
    assert step.counts.tolist() == [50] * 5 + [5] * 5
    (binary / "test_batch.bin").write_bytes(b"123")
    with pytest.raises(DataError, match="truncated"):
        load("cifar10-lt", data_root=tmp_path / "b")
    (binary / "data_batch_3.bin").unlink()
    with pytest.raises(DataError, match=r"lacks data_batch_3\.bin"):
        load("cifar10-lt", data_root=tmp_path / "b")


def test_original_cifar100_python_and_binary_agree(tmp_path):
    rng = np.random.RandomState(1)
    images = rng.randint(0, 256, (400, 3072)).astype(np.uint8)
    fine, coarse = np.arange(400) % 100, np.arange(400) % 20
    python, binary = tmp_path / "a/cifar-100-python", tmp_path / "b/cifar-100-binary"
    for folder in (python, binary):
        folder.mkdir(parents=True)
    for name in ("train", "test"):
        batch = {
            b"data": images,
            b"fine_labels": fine.tolist(),
            b"coarse_labels": coarse.tolist(),
        }
        (python / name).write_bytes(pickle.dumps(batch, protocol=2))
        rows = np.concatenate([coarse[:, None], fine[:, None], images], 1)
        rows.astype(np.uint8).tofile(binary / f"{name}.bin")
    one = load("cifar100-lt", data_root=tmp_path / "a", imbalance_factor=2)
    two = load("cifar100-lt", data_root=tmp_path / "b", imbalance_factor=2)
    assert one.fingerprint == two.fingerprint
    assert (one.counts[0], one.counts[-1]) == (4, 2)


def test_original_fashion_mnist(tmp_path):
    rng = np.random.RandomState(1)
    images = rng.randint(0, 256, (200, 28, 28)).astype(np.uint8)
    labels = (np.arange(200) % 10).astype(np.uint8)
    folder = tmp_path / "FashionMNIST/raw"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        head = struct.pack(">HBBIII", 0, 8, 3, 200, 28, 28) + images.tobytes()
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head))
        head = struct.pack(">HBBI", 0, 8, 1, 200) + labels.tobytes()
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(head)
    found = load("fashion-mnist-lt", data_root=tmp_path, imbalance_factor=4)
    assert found.counts.tolist() == [int(20 * 0.25 ** (i / 9)) for i in range(10)]
    position = int(found.train.ids[0].split("/")[1])
    assert found.train.store.data[0, 0].tolist() == images[position].tolist()
    (folder / "t10k-labels-idx1-ubyte").write_bytes(head[:50])
    with pytest.raises(DataError, match="t10k-labels"):
        load("fashion-mnist-lt", data_root=tmp_path)


class Evil:
    def __reduce__(self):
        return os.system, ("echo evil",)


@pytest.mark.parametrize("payload", [Evil(), {b"data": Evil()}, [1, 2], np.float64(1.0)])
def test_pickles_are_never_run(tmp_path, payload):
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps(payload, protocol=2))
    with pytest.raises(DataError, match="CIFAR batch"):
        read_pickle(path)
    path.write_bytes(b"\x80\x02garbage")
    with pytest.raises(DataError, match="CIFAR batch"):
        read_pickle(path)


def test_strip_files_that_do_not_fit(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, labels=[0], image_shape=[4, 4])
    with pytest.raises(DataError, match="no image strips"):
        read_chunked(path)
    np.savez(path, labels=[0], image_shape=[4, 4], chunk_000=np.zeros(9, dtype=np.uint8))
    with pytest.raises(DataError, match="chunk_000"):
        read_chunked(path)
