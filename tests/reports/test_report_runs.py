"""A run folder is read as it is; what is damaged is refused, what is missing is said."""

from __future__ import annotations

import numpy as np
import pytest

from longtail.errors import DataError
from longtail.reports import read_run


def test_a_folder_is_read(make_run):
    run = read_run(make_run(classes=10, epochs=7))
    assert (run.recipe, run.seed, run.num_classes, len(run.epochs)) == ("ce", 0, 10, 7)
    assert run.n_test.tolist() == [50] * 10
    right = run.predictions.correct
    own = [right[run.predictions.target == c].mean() for c in range(10)]
    np.testing.assert_allclose(run.recall, own)
    counts = run.counts[run.order]
    assert (np.diff(counts) <= 0).all()
    assert sorted(i for ids in run.group_ids.values() for i in ids) == list(range(10))


def test_only_metrics_json_is_needed(make_run):
    run = read_run(make_run(without=["run.json", "metrics.jsonl", "predictions.npz"]))
    assert run.predictions is None
    assert run.epochs == ()
    assert run.n_predicted is None
    assert run.n_test.tolist() == [50] * 10  # test_counts of metrics.json


def test_a_line_cut_short_by_a_kill_is_left_out(make_run):
    folder = make_run(epochs=5)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "train", "lo')
    assert len(read_run(folder).epochs) == 5


@pytest.mark.parametrize("name", ["metrics.json", "run.json", "predictions.npz"])
def test_a_damaged_file_is_refused(make_run, name):
    folder = make_run()
    (folder / name).write_text("{not json")
    with pytest.raises(DataError, match=name):
        read_run(folder)


def test_a_damaged_line_in_the_middle_is_refused(make_run):
    folder = make_run()
    text = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.jsonl").write_text("{\n" + text)
    with pytest.raises(DataError, match="line 1"):
        read_run(folder)


def test_no_run_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(DataError) as caught:
        read_run(tmp_path)
    assert "no metrics.json" in caught.value.what
    assert "longtail train" in caught.value.do


def test_predictions_of_another_run_are_refused(make_run):
    folder = make_run(classes=10)
    with np.load(folder / "predictions.npz") as stored:
        arrays = dict(stored)
    arrays["prediction"][0] = 10
    np.savez(folder / "predictions.npz", **arrays)
    with pytest.raises(DataError, match="names class 10"):
        read_run(folder)


def test_predictions_need_ids(make_run):
    folder = make_run()
    np.savez(folder / "predictions.npz", target=np.zeros(3, int), prediction=np.zeros(3, int))
    with pytest.raises(DataError, match="ids"):
        read_run(folder)
