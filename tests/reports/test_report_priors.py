"""Priors and adjusters in words: in the terminal, on the page and on the card."""

from __future__ import annotations

import json

from tests.reports.report_html import Page

from longtail.reports import write_card, write_report
from longtail.reports.priors import aims_at, answers_to, last_parts, prior_line

NAMES = ("ant", "bee", "cat")
NATURAL = (0.7, 0.2, 0.1)
EVEN = (1 / 3, 1 / 3, 1 / 3)


def test_few_classes_are_all_written_out():
    assert answers_to(NATURAL, NATURAL, NAMES) == "natural (ant: 70 %, bee: 20 %, cat: 10 %)"
    assert answers_to(EVEN, NATURAL, NAMES) == "uniform (each class 33.3 %)"
    assert answers_to((0.5, 0.3, 0.2), NATURAL, NAMES) == "ant: 50 %, bee: 30 %, cat: 20 %"


def test_of_many_classes_the_largest_and_the_smallest_are():
    names = [f"class {i}" for i in range(100)]
    natural = [0.0001] * 99 + [0.9901]
    said = answers_to(natural, natural, names)
    assert said == "natural (99 % of class 99 (largest class), 0.01 % of class 98 (smallest))"
    other = [0.9901] + [0.0001] * 99
    assert answers_to(other, natural, names) == (
        "0.01 % of class 99 (largest class), 0.01 % of class 98 (smallest)"
    )
    assert (
        answers_to(other, None, names)
        == "99 % of class 0 (largest class), 0.01 % of class 99 (smallest)"
    )


def test_a_prior_that_no_formula_gives():
    said = prior_line(None, "as_trained", None, NATURAL, NAMES)
    assert said == (
        "prior: not known: no formula follows this recipe; "
        "target as_trained, the only one that can be asked for"
    )


def test_as_trained_is_told_from_the_training_shares():
    assert aims_at("as_trained", None, NATURAL, NATURAL, NAMES) == "as_trained: nothing is shifted"
    assert prior_line(EVEN, "as_trained", None, NATURAL, NAMES) == (
        "prior: the model answers to uniform (each class 33.3 %); target as_trained: not shifted "
        "to the training shares (ant: 70 %, bee: 20 %, cat: 10 %)"
    )


def test_a_target_is_named_with_its_numbers():
    assert aims_at("uniform", EVEN, NATURAL, NATURAL, NAMES) == "uniform (each class 33.3 %)"
    mix = (0.2, 0.3, 0.5)
    said = aims_at("mix.csv", mix, NATURAL, NATURAL, NAMES)
    assert said == "mix.csv (ant: 20 %, bee: 30 %, cat: 50 %)"
    assert aims_at("given", None, NATURAL, NATURAL, NAMES) == "given"


def shown(folder, tmp_path) -> tuple[str, str]:
    """What page and card say, Markdown's escapes taken out."""
    page = Page(write_report(folder, tmp_path / "r.html").read_text(encoding="utf-8"))
    card = write_card(folder).read_text(encoding="utf-8").replace("\\", "")
    return page.find("main")[0].text, card


def test_page_and_card_say_both_priors_in_numbers(make_run, tmp_path):
    folder = make_run(classes=3, names=NAMES, largest=70, factor=7)
    for file, key, value in (
        ("metrics.json", "effective_prior", list(EVEN)),
        ("metrics.json", "target_prior", "mix.csv"),
        ("run.json", "target", [0.2, 0.3, 0.5]),
    ):
        stored = json.loads((folder / file).read_text())
        stored[key] = value
        (folder / file).write_text(json.dumps(stored))
    for text in shown(folder, tmp_path):
        assert "uniform (each class 33.3 %)" in text
        assert "mix.csv (ant: 20 %, bee: 30 %, cat: 50 %)" in text


def test_a_prior_that_was_not_recorded_is_not_called_unknown(make_run, tmp_path):
    folder = make_run()
    stored = json.loads((folder / "metrics.json").read_text())
    del stored["effective_prior"], stored["target_prior"]
    (folder / "metrics.json").write_text(json.dumps(stored))
    _, card = shown(folder, tmp_path)
    assert "Prior the trained model answers to: not measured" in card
    assert "Target prior: not measured" in card


def with_metrics(folder, part, found):
    """The folder with a measured prior."""
    stored = json.loads((folder / "metrics.json").read_text())
    stored[part] = {**(stored[part] or stored["test"]), "measured_prior": found}
    (folder / "metrics.json").write_text(json.dumps(stored))
    return folder


def test_the_measured_prior_stands_beside_the_declared_one(make_run, tmp_path):
    folder = make_run(classes=3, names=NAMES, largest=70, factor=7)
    found = {"prior": [0.5, 0.3, 0.2], "rows": 90, "tv": 0.21, "error": 0.02, "differs": True}
    for text in shown(with_metrics(folder, "test", found), tmp_path):
        assert (
            "ant: 50 %, bee: 30 %, cat: 20 % on 90 test rows; declared against measured, TV = 0.210: "
            "too far apart for chance; look at calibration, sampler and loss"
        ) in text
    near = {**found, "tv": 0.05, "differs": False}
    for text in shown(with_metrics(folder, "validation", near), tmp_path):
        assert "on 90 validation rows; declared against measured, TV = 0.050" in text
        assert "too far" not in text


def test_a_measured_prior_without_a_declared_one_or_left_out(make_run, tmp_path):
    folder = make_run(classes=3, names=NAMES, largest=70, factor=7)
    alone = {"prior": [0.5, 0.3, 0.2], "rows": 90, "tv": None, "error": None, "differs": False}
    for text in shown(with_metrics(folder, "test", alone), tmp_path):
        assert "on 90 test rows; none is declared" in text
    for text in shown(with_metrics(folder, "validation", {"skipped": "few"}), tmp_path):
        assert "on 90 test rows" in text
    for text in shown(with_metrics(folder, "test", {"skipped": "1 of 3 classes"}), tmp_path):
        assert "not measured: few" in text


def test_a_far_prior_names_sampler_and_loss():
    stages = [{"loss": {"part": "ce"}}, {"loss": {"part": "la"}, "sampler": {"part": "balanced"}}]
    assert last_parts({"stages": stages}) == "sampler balanced and loss la"


def test_an_adjuster_is_shown_by_its_registered_name(make_run, tmp_path):
    for text in shown(make_run(), tmp_path):
        assert "la_posthoc (tau 1, chosen_on_validation no)" in text
