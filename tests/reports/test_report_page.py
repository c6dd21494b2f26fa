"""The HTML page: complete in itself, honest about what is missing, safe with any class name."""

from __future__ import annotations

import itertools
import json
import re
from importlib import resources

import pytest
from tests.reports.report_folders import EVIL
from tests.reports.report_html import Page

from longtail.errors import ConfigError
from longtail.reports import write_report


def read(path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def embedded(page: Page):
    (script,) = [e for e in page.find("script") if e.attrs.get("id") == "data"]
    return json.loads(script.text)


@pytest.fixture
def page(make_run, tmp_path) -> Page:
    names = [EVIL, *(f"class {i}" for i in range(9))]
    folder = make_run(names=names, images=12, notes=["2 classes <b>cannot</b> be judged"])
    return read(write_report([folder], tmp_path / "report.html"))


@pytest.fixture
def comparison(make_run, tmp_path) -> Page:
    skills = {"ce": 0.2, "la": 0.6, "focal": 0.21}
    folders = [
        make_run(f"{name}-{seed}", recipe=name, seed=seed, skill=skill, names=(EVIL, *"bcdefghij"))
        for name, skill in skills.items()
        for seed in range(2)
    ]
    return read(write_report(folders, tmp_path / "compare.html"))


@pytest.mark.parametrize("kind", ["page", "comparison"])
def test_the_page_loads_nothing(kind, request):
    page = request.getfixturevalue(kind)
    for element in page.all:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = element.attrs.get(name)
            assert value is None or re.match(r"#|data:", value), (element.tag, value)
    (style,) = page.find("style")
    assert not re.search(r"url\(|@import", style.text)
    rules = [e.attrs["content"] for e in page.find("meta") if "http-equiv" in e.attrs]
    assert len(rules) == 1
    assert rules[0].startswith("default-src 'none'")
    assert sum("plotly.js v" in e.text for e in page.find("script")) == 1


@pytest.mark.parametrize("kind", ["page", "comparison"])
def test_the_page_is_sane_for_keyboard_and_screen_reader(kind, request):
    page = request.getfixturevalue(kind)
    assert page.find("html")[0].attrs["lang"] == "en"
    levels = [int(e.tag[1]) for e in page.all if re.fullmatch(r"h[1-6]", e.tag)]
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    ids = [e.attrs["id"] for e in page.all if "id" in e.attrs]
    assert len(ids) == len(set(ids))
    labels = {e.attrs.get("for") for e in page.find("label")}
    fields = page.find("input") + page.find("select")
    assert len(fields) == 2
    assert all(e.attrs["id"] in labels for e in fields)
    for table in page.find("table"):
        assert table.children[0].tag == "caption"
        assert table.children[0].text.strip()
    assert all(e.attrs.get("scope") for e in page.find("th"))
    assert all(e.attrs.get("alt") for e in page.find("img"))
    plots = [e for e in page.find("div") if "data-figure" in e.attrs]
    assert len(plots) >= 4
    assert all(e.attrs["role"] == "img" and len(e.attrs["aria-label"]) > 20 for e in plots)
    for link in page.find("a"):
        assert link.attrs["href"][1:] in ids
    named = {e.attrs["aria-labelledby"] for e in page.find("section")}
    assert named <= set(ids)


@pytest.mark.parametrize("kind", ["page", "comparison"])
def test_charts_and_their_data_match(kind, request):
    page = request.getfixturevalue(kind)
    shown = {e.attrs["data-figure"] for e in page.find("div") if "data-figure" in e.attrs}
    data = embedded(page)
    assert shown == set(data["figures"])
    for figure in data["figures"].values():
        assert figure["data"]
        for trace in figure["data"]:
            assert len(trace["x"]) == len(trace["y"]) > 0
    columns = data["table"]["columns"]
    assert {len(c["values"]) for c in columns} == {10}


@pytest.mark.parametrize("kind", ["page", "comparison"])
def test_class_names_never_become_markup(kind, request):
    page = request.getfixturevalue(kind)
    assert not [e for e in page.find("script") if e.text.strip() == "alert(1)"]
    assert len(page.find("script")) == 3
    assert embedded(page)["table"]["columns"][0]["values"][0] == EVIL
    if kind == "page":
        assert any(EVIL in e.text for e in page.find("th"))


def test_images_are_shown_only_where_there_are_thumbnails(page, make_run, tmp_path):
    assert len(page.find("img")) == 12
    plain = read(write_report(make_run("plain"), tmp_path / "plain.html"))
    assert not plain.find("img")
    assert "images" not in [e.attrs.get("id") for e in plain.all]


def test_an_image_that_is_no_base64_is_left_out(make_run, tmp_path):
    folder = make_run(images=2)
    stored = json.loads((folder / "thumbnails.json").read_text())
    stored[0]["png"] = '" onerror="alert(1)'
    (folder / "thumbnails.json").write_text(json.dumps(stored))
    assert len(read(write_report(folder, tmp_path / "r.html")).find("img")) == 1


def test_headline_numbers_and_notes(page):
    tiles = {
        e.children[0].text: e.children[1].text
        for e in page.find("li")
        if e.children and e.children[0].attrs.get("class") == "name"
    }
    assert set(tiles) == {
        "Balanced accuracy", "Accuracy", "Many", "Medium", "Few", "ECE", "Never predicted",
    }  # fmt: skip
    assert re.fullmatch(r"\d+\.\d %", tiles["Few"])
    assert tiles["ECE"] == "0.061"
    (notes,) = page.find("aside")
    assert "2 classes <b>cannot</b> be judged" in notes.text
    assert "name: ce" in page.find("pre")[0].text


def test_an_empty_group_is_a_dash_and_never_zero(make_run, tmp_path):
    folder = make_run()
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["test"] |= {"many": None}
    metrics["test"]["intervals"]["many"] = None
    metrics["groups"]["many"] = []
    (folder / "metrics.json").write_text(json.dumps(metrics))
    page = read(write_report(folder, tmp_path / "r.html"))
    (tile,) = [e for e in page.find("li") if e.text.startswith("Many")]
    assert tile.text == "Many-no such class"


def test_what_is_missing_is_said(make_run, tmp_path):
    folder = make_run(without=["run.json", "metrics.jsonl", "predictions.npz"])
    page = read(write_report(folder, tmp_path / "r.html"))
    text = page.find("main")[0].text
    for name in ("predictions.npz", "metrics.jsonl", "run.json", "confidences"):
        assert f"the folder has no {name}" in text


def test_bare_metrics_still_make_a_page(tmp_path):
    folder = tmp_path / "bare"
    folder.mkdir()
    bare = {"recipe": "ce", "test": {"accuracy": 0.5}, "data": {"class_names": ["a", "b"]}}
    (folder / "metrics.json").write_text(json.dumps(bare))
    page = read(write_report(folder, tmp_path / "r.html"))
    assert "50.0 %" in page.find("main")[0].text
    more = tmp_path / "more"
    more.mkdir()
    (more / "metrics.json").write_text(json.dumps({**bare, "recipe": "la"}))
    page = read(write_report([folder, more], tmp_path / "c.html"))
    assert "no predictions to pair" in page.find("main")[0].text


def test_thousands_of_classes_stay_small(make_run, tmp_path):
    options = {"classes": 8142, "per_class": 3, "largest": 1000, "factor": 500}
    folders = [make_run(name, recipe=name, **options) for name in ("ce", "la")]
    one = write_report(folders[0], tmp_path / "one.html")
    both = write_report(folders, tmp_path / "both.html")
    for path in (one, both):
        assert path.stat().st_size < 12e6
        page = read(path)
        assert len(page.all) < 1500
        figures = embedded(page)["figures"]
        marks = [t["type"] for f in figures.values() for t in f["data"]]
        assert marks.count("scattergl") == (path == one)


def test_the_folder_form_of_output_and_no_folder(make_run, tmp_path):
    path = write_report(make_run(), tmp_path)
    assert path == tmp_path / "report.html"
    assert not list(tmp_path.glob("*.partial"))
    with pytest.raises(ConfigError, match="no run folder"):
        write_report([], tmp_path)


def test_templates_are_package_data():
    names = {p.name for p in (resources.files("longtail.reports") / "templates").iterdir()}
    assert names == {
        "base.html",
        "parts.html",
        "run.html",
        "compare.html",
        "style.css",
        "report.js",
    }
