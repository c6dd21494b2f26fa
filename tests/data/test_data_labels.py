"""One reader of labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from longtail.errors import DataError
from longtail.labels import class_order, encode_labels, label_names, read_labels


class Holder:
    def __init__(self, **values):
        vars(self).update(values)


class Method:
    def get_labels(self):
        return [1, 2]


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
    ]
    for source, expected in cases:
        found = read_labels(source)
        assert found.dtype == torch.int64
        assert found.tolist() == expected


@pytest.mark.parametrize("bad", [["a", "b"], np.eye(2), [0.5, 1.0], object()])
def test_unreadable_labels(bad):
    with pytest.raises(DataError):
        read_labels(bad)
