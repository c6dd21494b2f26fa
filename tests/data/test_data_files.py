"""Manifests, lists, JSON, .npz, YAML, arrays and frames; and what is wrong with them, said."""

from __future__ import annotations

import json
import lzma

import numpy as np
import pytest
import torch

from longtail.data import load
from longtail.data.lists import read_class_names, read_list
from longtail.errors import ConfigError, DataError, LongtailError, UnknownNameError


def table_csv(path, rows=40, mark=",", head="a,b,label", bom=""):
    lines = [head.replace(",", mark)]
    lines += [mark.join((str(i / 7), "xyz"[i % 3], "pq"[i % 2])) for i in range(rows)]
    path.write_text(bom + "\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_csv_tables(tmp_path, mark, bom):
    found = load(table_csv(tmp_path / "t.csv", mark=mark, bom=bom))
    assert found.modality == "table"
    assert found.default_backbone == "mlp"
    assert found.input_spec.columns == (
        ("a", "numeric", ()),
        ("b", "category", ("x", "y", "z")),
    )
    assert found.counts.tolist() == [16, 16]
    rows = found.train.store.data
    assert rows.dtype == torch.float32
    assert set(rows[:, 1].tolist()) == {1.0, 2.0, 3.0}
    at = int(found.train.ids[5].split("/")[1])
    assert rows[5].tolist() == pytest.approx([at / 7, at % 3 + 1])
    numbers = rows[:, 0].double()
    assert found.input_spec.mean[0] == pytest.approx(float(numbers.mean()))
    assert found.input_spec.std[0] == pytest.approx(float(numbers.std(correction=0)))


def test_csv_split_weight_and_unseen_word(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        "u,word,label,split,weight\n"
        "1,a,p,train,1\n2,b,q,train,2\n3,a,p,Training,0.5\n"
        "4,c,q,val,1\n5,a,r,test,1\n6,b,,unlabelled,1\n"
    )
    found = load(path)
    assert found.class_names == ("p", "q", "r")
    assert found.train.weight.tolist() == [1, 2, 0.5]
    assert found.validation.store.data.tolist() == [[4, 0]]
    assert found.counts.tolist() == [2, 1, 0]
    assert found.unlabelled.labels.tolist() == [-1]
    assert found.input_spec.columns == (("u", "numeric", ()), ("word", "category", ("a", "b")))


def test_csv_labels_by_number_and_html(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,label\n" + "".join(f"{i},{(10, 2, 33)[i % 3]}\n" for i in range(30)))
    assert load(path).class_names == ("2", "10", "33")
    path.write_text("x,label\n" + "".join(f"{i},{('<script>', 'b')[i % 2]}\n" for i in range(30)))
    assert load(path).class_names == ("<script>", "b")


def test_csv_texts(tmp_path):
    path = tmp_path / "t.csv"
    lines = [f'"I like {w}, really, number {i}",{w}' for i in range(10) for w in ("tea", "milk")]
    path.write_text("text,label\n" + "\n".join(lines))
    found = load(path)
    assert found.modality == "text"
    assert found.default_backbone == "hashed_text"
    assert found.train.store.data.dtype == torch.int32
    path.write_text("review,label\n" + "\n".join(lines))
    again = load(path)
    assert again.modality == "text"
    assert any("'review' is read as text" in n for n in again.notes)
    assert load(path, text="review", max_tokens=3).input_spec.shape == (3,)


def test_csv_groups_stay_together(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,label,group\n" + "".join(f"{i},{i % 2},g{i // 5}\n" for i in range(100)))
    found = load(path)
    group = {int(i.split("/")[1]) // 5 for i in found.train.ids}
    assert not group & {int(i.split("/")[1]) // 5 for i in found.test.ids}
    assert found.input_spec.shape == (1,)


BAD_CSV = {
    "no label": ("a,labell\n1,x\n2,y\n", {}, "labell"),
    "other label": ("a,label\n1,x\n2,y\n", {"label": "lable"}, "'label'"),
    "NaN": ("height,label\n1,x\n,y\n3,x\n", {}, "column 'height'"),
    "NA": ("height,label\n1,x\nNA,y\n3,x\n", {}, "column 'height'"),
    "infinite": ("height,label\n1,x\ninf,y\n3,x\n", {}, "infinite"),
    "no rows": ("a,label\n", {}, "no rows"),
    "empty": ("", {}, "no rows"),
    "ragged": ("a,label\n1,x\n1,2,y\n", {}, "row 2"),
    "double": ("a,a,label\n1,1,x\n", {}, "two columns"),
    "one class": ("a,label\n1,x\n2,x\n", {}, "1 class"),
    "no feature": ("label\nx\ny\n", {}, "no feature"),
    "empty label": ("a,label\n1,x\n2,\n", {}, "row 1"),
    "split": ("a,label,split\n1,x,trian\n2,y,train\n", {}, "trian"),
    "weight": ("a,label,weight\n1,x,-1\n2,y,1\n", {}, "weights"),
    "weight word": ("a,label,weight\n1,x,heavy\n2,y,1\n", {}, "weight column"),
    "column": ("alpha,label\n1,x\n2,y\n", {"columns": ["alpa"]}, "alpha"),
    "quotes": ('a,label\n"1"z,x\n2,y\n', {}, "line"),
    "missing image": ("path,label\nno.png,x\nnot.png,y\n", {}, "no.png"),
    "way out": ("path,label\n../../etc/passwd,x\nnot.png,y\n", {}, "leaves its root"),
    "absolute": ("path,label\n/etc/passwd,x\nnot.png,y\n", {}, "leaves its root"),
    "option": ("a,label\n1,x\n2,y\n", {"imbalance_factor": 3}, "imbalance_factor"),
}


@pytest.mark.parametrize("name", BAD_CSV)
def test_bad_csv(tmp_path, name):
    content, options, said = BAD_CSV[name]
    path = tmp_path / "data.csv"
    path.write_text(content)
    with pytest.raises(LongtailError) as caught:
        load(path, **options)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2


def test_csv_that_is_not_utf8(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes("a,label\n1,caf\u00e9\n2,b\n".encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        load(path)


def test_csv_of_paths(image_folder):
    rows = [(f"10/{i}.png", "ten") for i in range(6)] + [(f"2/{i}.png", "two") for i in range(6)]
    path = image_folder / "m.csv"
    path.write_text("path;label\n" + "\n".join(f"{p};{w}" for p, w in rows))
    found = load(path)
    assert found.modality == "image"
    assert found.class_names == ("ten", "two")
    assert set(found.train.ids) <= {p for p, _ in rows}
    moved = image_folder.parent / "m.csv"
    moved.write_text("file,label\n" + "\n".join(f"{p},{w}" for p, w in [*rows, ("2/9.png", "x")]))
    with pytest.raises(DataError, match=r"2/9\.png"):
        load(moved, path_column="file", root=image_folder)
    kept = load(moved, path_column="file", root=image_folder, on_bad="skip")
    assert kept.unreadable == ("2/9.png",)
    assert kept.train.ids == found.train.ids


def test_parquet(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"a": range(20), "label": ["x", "y"] * 10})
    frame.to_parquet(tmp_path / "d.parquet")
    assert load(tmp_path / "d.parquet").counts.tolist() == [8, 8]


def test_parquet_without_its_extra_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "d.parquet").write_bytes(b"x")
    with pytest.raises(LongtailError, match=r"pip install 'longtail\[pandas\]'"):
        load(tmp_path / "d.parquet")


def test_data_frames():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "size": np.arange(40) / 3,
            "colour": pandas.Categorical(["red", "blue"] * 20),
            "odd": [True, False] * 20,
            "label": [10, 2] * 20,
        }
    )
    found = load(frame)
    assert found.class_names == ("2", "10")
    assert [k for _, k, _ in found.input_spec.columns] == ["numeric", "category", "numeric"]
    frame.loc[3, "size"] = None
    with pytest.raises(DataError, match=r"column 'size' has 1 missing \(NaN\) values.*row"):
        load(frame)
    frame["label"] = frame["label"].astype("Int64")
    frame.loc[4, "label"] = pandas.NA
    with pytest.raises(DataError, match="no label"):
        load(frame)


def test_array_pairs_and_mappings():
    rng = np.random.RandomState(0)
    x, y = rng.normal(size=(60, 3)), rng.randint(0, 3, 60) * 10
    found = load((x, y))
    assert found.class_names == ("0", "10", "20")
    split = load({"x": x, "y": y, "x_val": x[:6], "y_val": y[:6], "x_test": x, "y_test": y})
    assert (len(split.train), len(split.validation), len(split.test)) == (60, 6, 60)
    assert len(load((x, y, x[:9], y[:9])).test) == 9
    texts = [f"text {i} of class {c}" for i, c in enumerate(y)]
    assert load((texts, y)).modality == "text"
    assert load((np.asarray(texts), y)).modality == "text"
    x[3, 1] = np.nan
    with pytest.raises(DataError, match="column 'x1'"):
        load((x, y))
    for bad in ((x,), (texts, y[:5]), (x[0], y), {"x": x}, 3, ([], [])):
        with pytest.raises(DataError):
            load(bad)


def test_npz(tmp_path):
    rng = np.random.RandomState(0)
    images, labels = rng.randint(0, 256, (30, 9, 9)).astype(np.uint8), np.arange(30) % 3
    path = tmp_path / "d.npz"
    np.savez(path, images=images, labels=labels, classes=np.asarray(["a", "c", "b"]),
             x_test=images[:6], y_test=labels[:6])  # fmt: skip
    found = load(path)
    assert found.class_names == ("a", "c", "b")
    assert (len(found.train), len(found.test)) == (30, 6)
    assert found.train.labels.tolist() == labels.tolist()
    np.savez(path, images=images)
    with pytest.raises(DataError, match="'y'"):
        load(path)
    np.savez(path, x=images, y=np.asarray([object()] * 30))
    with pytest.raises(DataError, match="pickled"):
        load(path)
    path.write_bytes(b"PK\x03\x04nothing")
    with pytest.raises(DataError, match=r"no readable \.npz"):
        load(path)


def test_lists(image_folder):
    (image_folder / "x_train.txt").write_text(
        "".join(f"10/{i}.png 1\n" for i in range(10)) + "".join(f"2/{i}.png 0\n" for i in range(4))
    )
    (image_folder / "x_test.txt").write_text("10/10.png\t1\n2/5.png\t0\n")
    (image_folder / "names.txt").write_text("two\nten\n")
    found = load(image_folder / "x_train.txt", classes=image_folder / "names.txt")
    assert found.class_names == ("two", "ten")
    assert found.counts.tolist() == [4, 10]
    assert found.test.ids == ["test:10/10.png", "test:2/5.png"]
    assert load(image_folder).class_names == ("0", "1")
    with pytest.raises(DataError, match="none of the 1 class names"):
        load(image_folder / "x_train.txt", classes=("two",))
    (image_folder / "x_train.txt").write_text("10/0.png 0\nlonely\n")
    with pytest.raises(DataError, match="line 2"):
        load(image_folder / "x_train.txt")


def test_json_lists(image_folder):
    rows = [("10", i) for i in range(5)] + [("2", i) for i in range(5)]
    bot = {"annotations": [{"fpath": f"{c}/{i}.png", "category_id": int(c)} for c, i in rows]}
    coco = {
        "images": [{"id": k, "file_name": f"{c}/{i}.png"} for k, (c, i) in enumerate(rows)],
        "annotations": [{"image_id": k, "category_id": int(c)} for k, (c, i) in enumerate(rows)],
    }
    for stored in (bot, coco):
        (image_folder / "d.json").write_text(json.dumps(stored))
        found = load(image_folder / "d.json")
        assert found.class_names == ("2", "10")
        assert found.counts.tolist() == [4, 4]
    (image_folder / "d.json").write_text("{}")
    with pytest.raises(DataError, match="annotation"):
        load(image_folder / "d.json")


def test_yaml_file(tmp_path):
    table_csv(tmp_path / "t.csv", head="a,b,kind")
    yaml = tmp_path / "wine.yaml"
    yaml.write_text("path: t.csv\nlabel: kind\ncolumns: [a]\n")
    found = load(yaml)
    assert (found.name, found.input_spec.shape) == ("wine", (1,))
    assert len(load(yaml, validation=True).validation) == 4
    yaml.write_text("path: digits-lt\nimbalance_factor: 10\n")
    assert load(yaml).counts[0] == 120
    assert load(yaml, validation=True, labelled_share=0.5).counts[0] == 54
    for text, said in (
        ("path: t.csv\nlabl: kind\n", "label"),
        ("label: kind\n", "does not name its data"),
        ("- 1\n", "does not name its data"),
        ("a: [1\n", "YAML"),
        ("path: u.csv\n", "no file or folder"),
    ):
        yaml.write_text(text)
        with pytest.raises(LongtailError, match=said):
            load(yaml)


def test_class_names_for_any_source(tmp_path, image_folder):
    path = tmp_path / "t.csv"
    path.write_text("x,label\n" + "".join(f"{i},{i % 2}\n" for i in range(30)))
    (tmp_path / "names.tsv").write_text("index\tname\n1\tcat\n0\tdog\n")
    found = load(path, classes=tmp_path / "names.tsv")
    assert found.class_names == ("dog", "cat")
    assert load((np.ones((9, 2)), [1, 0, 0] * 3), classes=["b", "a"]).class_names == ("b", "a")
    order = ("<script>", "2", "10", "more")
    found = load(image_folder, classes=order)
    assert found.class_names == order[:3]
    assert any("listed classes" in n for n in found.notes)
    with pytest.raises(DataError, match="none of the 2 class names"):
        load(image_folder, classes=("a", "b"))


def test_unknown_names_and_paths(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'cifar10-lt'"):
        load("cifar10lt")
    table_csv(tmp_path / "wine.csv")
    with pytest.raises(DataError, match=r"did you mean 'wine\.csv'"):
        load(tmp_path / "wines.csv")
    (tmp_path / "data.bin").write_bytes(b"x")
    with pytest.raises(DataError, match="ending"):
        load(tmp_path / "data.bin")
    for options in ({"labelled_share": 2}, {"validation": 3}, {"on_bad": "x"}, {"image_size": 0}):
        with pytest.raises(ConfigError):
            load("digits-lt", **options)


def write_large(root, folder, lists, sample_class):
    for name, labels in lists.items():
        lines = "".join(f"{sample_class}/{i}.png {c}\n" for i, c in enumerate(labels))
        (root / folder).mkdir(exist_ok=True)
        with lzma.open(root / folder / f"{name}.txt.xz", "wt") as file:
            file.write(lines)


@pytest.mark.parametrize(
    ("name", "stem"), [("imagenet-lt", "ImageNet_LT"), ("places-lt", "Places_LT")]
)
def test_large_sets_from_lists(image_folder, name, stem):
    root = image_folder.parent
    lists = {f"{stem}_train": [0] * 6 + [1] * 3, f"{stem}_val": [0, 1], f"{stem}_test": [1, 0]}
    write_large(root, stem, lists, "10")
    with pytest.raises(DataError, match="lacks its images"):
        load(name, data_root=root)
    found = load(name, data_root=root, root=image_folder, image_size=16)
    assert found.counts.tolist() == [6, 3]
    assert (len(found.validation), len(found.test)) == (2, 2)
    assert found.benchmark
    assert found.default_backbone == "resnet50"
    assert found.input_spec.shape[1:] == (16, 16)


def test_inaturalist_tests_on_its_validation_list(image_folder):
    lists = {"iNaturalist18_train": [0] * 6 + [1] * 3, "iNaturalist18_val": [0, 1]}
    write_large(image_folder.parent, "iNaturalist18", lists, "10")
    found = load("inaturalist18", data_root=image_folder.parent, root=image_folder, image_size=8)
    assert found.validation is None
    assert len(found.test) == 2


def test_published_lists(shared_root):
    if shared_root is None:
        pytest.skip("no shared folder with lists (set LONGTAIL_SHARED)")
    folder = shared_root / "data/lists"
    for stem, rows, classes in (("ImageNet_LT", 115_846, 1000), ("Places_LT", 62_500, 365)):
        _, labels = read_list(folder / stem / f"{stem}_train.txt.xz")
        assert (len(labels), len(set(labels))) == (rows, classes)
        table = "imagenet" if classes == 1000 else "places"
        names = read_class_names(folder / stem / f"{table}_classes.tsv")
        assert len(set(names)) == classes
