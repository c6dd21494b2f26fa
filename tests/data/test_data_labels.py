"""One reader of labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset

from longtail import create
from longtail.errors import DataError
from longtail.labels import class_order, encode_labels, label_array, label_names, read_labels


class Holder:
    def __init__(self, **values):
        vars(self).update(values)


class Method:
    def get_labels(self):
        return [1, 2]


class Columns:
    """As the tables of Hugging Face: columns by name, rows by number."""

    def __init__(self, **columns):
        self.columns, self.column_names = columns, list(columns)

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def __getitem__(self, key):
        if not isinstance(key, str):
            pytest.fail("a row was read")
        return self.columns[key]


class Unwalked(Dataset):
    """A data set whose items must not be read."""

    def __init__(self, targets):
        self.targets = targets

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, row):
        pytest.fail("an item was read")


class Endless(IterableDataset):
    def __iter__(self):
        pytest.fail("a stream was read")


def test_order_is_by_number_only_when_all_are_numbers():
    assert class_order(["10", "2", "2", "-1"]) == ("-1", "2", "10")
    assert class_order(["10", "2", "b"]) == ("10", "2", "b")
    assert class_order(["<script>", "é", "a"]) == ("<script>", "a", "é")


def test_gaps_close_and_names_stay():
    ids, names = encode_labels([30, 10, 2, 10])
    assert ids.tolist() == [2, 1, 0, 1]
    assert names == ("2", "10", "30")
    with pytest.raises(DataError, match="not among"):
        encode_labels(["x"], names=["a", "b"])


def test_label_names():
    assert label_names(np.asarray([1.0, 2.0])) == ["1", "2"]
    assert label_names(torch.tensor([3, 4])) == ["3", "4"]
    assert label_names([b"x", "y", 5]) == ["x", "y", "5"]
    for bad in ([1.0, float("nan")], ["a", None], np.eye(3)):
        with pytest.raises(DataError):
            label_names(bad)


def test_every_container():
    base = TensorDataset(torch.zeros(4, 2), torch.tensor([3, 1, 2, 0]))
    subset = Subset(base, [2, 0])
    cases = [
        ([1, 0], [1, 0]),
        ((1, 0), [1, 0]),
        (np.asarray([1, 0], dtype=np.uint8), [1, 0]),
        (torch.tensor([1, 0], dtype=torch.int32), [1, 0]),
        (base, [3, 1, 2, 0]),
        (subset, [2, 3]),
        (Subset(subset, [1]), [3]),
        (ConcatDataset([subset, base]), [2, 3, 3, 1, 2, 0]),
        (Subset(Holder(targets=[5, 6, 7]), [2, 1]), [7, 6]),
        (Holder(targets=[5, 6]), [5, 6]),
        (Holder(labels=np.asarray([5, 6])), [5, 6]),
        (Method(), [1, 2]),
        (np.asarray([1.0, 2.0]), [1, 2]),
        (np.asarray([[1], [2]]), [1, 2]),
        (range(3), [0, 1, 2]),
        (Holder(samples=[("a.png", 4), ("b.png", 2)]), [4, 2]),
        (Subset(Holder(imgs=[("a.png", 4), ("b.png", 2)]), [1]), [2]),
        (Columns(label=[3, 1, 2]), [3, 1, 2]),
        (Columns(text=["a"], fine_label=np.asarray([7])), [7]),
        (Subset(Columns(labels=torch.tensor([5, 6])), [1, 0]), [6, 5]),
        (ConcatDataset([Columns(label=[3, 1]), Unwalked([9])]), [3, 1, 9]),
    ]
    for source, expected in cases:
        found = read_labels(source)
        assert found.dtype == torch.int64
        assert found.tolist() == expected


@pytest.mark.parametrize(
    "bad",
    [
        ["a", "b"],
        np.eye(2),
        [0.5, 1.0],
        [1.0, float("nan")],
        [],
        object(),
        Endless(),
        Columns(text=["a"], stars=[1]),
        Holder(samples=[("a", "cat")]),
    ],
)
def test_unreadable_labels(bad):
    with pytest.raises(DataError) as caught:
        read_labels(bad)
    assert len(str(caught.value).splitlines()) == 2


def test_what_is_there_is_not_copied():
    y = torch.arange(5)
    assert read_labels(y).data_ptr() == y.data_ptr()
    small = np.arange(5, dtype=np.uint8)
    assert label_array(small) is small


def test_samplers_take_any_of_these():
    data = Unwalked([0, 1, 0, 2, 0, 1])
    expected = create("sampler", "class_balanced", labels=data.targets).draw(1)
    for source in (
        data,
        np.asarray(data.targets, dtype=np.int16),
        Columns(label=data.targets),
        Subset(ConcatDataset([data, data]), [6, 1, 8, 3, 10, 5]),
    ):
        sampler = create("sampler", "class_balanced", labels=source)
        assert torch.equal(sampler.draw(1), expected)


_THREE = TensorDataset(torch.zeros(3, 2), torch.tensor([0, 1, 2]))
_NONE = TensorDataset(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))


@pytest.mark.parametrize(
    "bad",
    [
        [(np.zeros(3), 0), (np.zeros(3), 1)],
        [[0, 1], [1]],
        [torch.tensor([0, 1]), torch.tensor([1])],
        Subset(_THREE, [0, 9]),
        Subset(_THREE, [-9]),
        Subset(_THREE, [0.5]),
        Subset(_THREE, []),
        ConcatDataset([_NONE, _NONE]),
        Holder(samples=["a.png", "b.png"]),
        Holder(samples=[1, 2]),
        Holder(samples=[("a.png",)]),
        [0, np.inf],
        [0, -np.inf],
        [0, 1e300],
        [0, float("nan")],
        np.array([0, 2**63 + 5], dtype=np.uint64),
        [0, 2**70],
        torch.zeros(3, device="meta"),
    ],
)
def test_what_is_no_list_of_class_ids(bad):
    with pytest.raises(DataError) as caught:
        read_labels(bad)
    assert len(str(caught.value).splitlines()) == 2
    with pytest.raises(DataError):
        create("sampler", "class_balanced", labels=bad)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (torch.tensor([0, 1, 2], dtype=torch.bfloat16), [0, 1, 2]),
        (torch.tensor([0, 1, 2], dtype=torch.float16), [0, 1, 2]),
        (torch.tensor([0, 1, 2]).to_sparse(), [0, 1, 2]),
        (np.array([0, 2], dtype=np.uint64), [0, 2]),
        (ConcatDataset([_NONE, _THREE, _NONE]), [0, 1, 2]),
        (ConcatDataset([_THREE, Unwalked([])]), [0, 1, 2]),
        (Subset(_THREE, torch.tensor([2, -1])), [2, 2]),
    ],
)
def test_labels_of_unusual_kinds(source, expected):
    found = read_labels(source)
    assert (found.tolist(), found.dtype) == (expected, torch.int64)


@pytest.mark.filterwarnings("error")
def test_lent_memory_is_copied():
    lent = np.arange(4)
    lent.flags.writeable = False
    found = read_labels(lent)
    found[0] = 9
    assert lent.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("bad", [[[0, 1], [1]], [torch.tensor([0, 1]), "a"], [("x", 0), ("y",)]])
def test_names_are_one_a_row(bad):
    with pytest.raises(DataError, match="several values"):
        label_names(bad)
    assert label_names(torch.tensor([0, 1], dtype=torch.bfloat16)) == ["0", "1"]


@pytest.mark.parametrize(
    ("source", "what", "do"),
    [
        ("photos", "no labels found in a str", "longtail.data.load"),
        ({"train": 1, "test": 2}, "no labels found in a dict", "'train', 'test'"),
        ([("a.png", 0), ("b.png", 1)], "2 values, not a label", "pass the labels only"),
        (["cat", "dog"], "not words", "encode_labels"),
    ],
)
def test_what_holds_no_labels_is_named(source: object, what: str, do: str) -> None:
    with pytest.raises(DataError, match=what) as caught:
        read_labels(source)
    assert do in caught.value.do
