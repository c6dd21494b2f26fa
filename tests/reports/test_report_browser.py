"""The page in a real browser: quiet console, no network, narrow screens, thousands of classes."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.reports.report_folders import EVIL, fabricate

from longtail.reports import write_report

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
CLASSES = 8142
#: shows the next chart that is not drawn yet, and says how many are left
DRAW_NEXT = """
const left = document.querySelectorAll('[data-figure]:not(.js-plotly-plot)');
if (left.length) left[0].scrollIntoView();
return left.length;
"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs the extra e2e (selenium)")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pages")
    names = [EVIL, "W" * 60, *(f"class {i}" for i in range(8))]
    run = fabricate(root / "run", names=names, images=12, notes=["a note " * 20])
    runs = [
        fabricate(root / f"{recipe}{seed}", recipe=recipe, seed=seed, skill=skill, names=names)
        for recipe, skill in (("ce", 0.2), ("a_recipe_with_a_rather_long_name", 0.6), (EVIL, 0.21))
        for seed in range(2)
    ]
    many = {"classes": CLASSES, "per_class": 3, "largest": 1000, "factor": 500}
    large = fabricate(
        root / "large", **many, names=[f"genus{i % 90} sp{i}" for i in range(CLASSES)]
    )
    return {
        "run": write_report(run, root / "run.html"),
        "compare": write_report(runs, root / "compare.html"),
        "large": write_report(large, root / "large.html"),
    }


@pytest.fixture(scope="module")
def visit(browser: Any, pages: dict[str, Path]) -> Callable[..., Any]:
    """Open a page at a width and scroll through it so that every chart is drawn.

    A page that is open already as asked for is not loaded again.
    """
    opened: list[Any] = [None]

    def go(name: str, width: int = 1280, *, dark: bool = False) -> Any:
        if opened[0] == (name, width, dark):
            return browser
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        for log in ("browser", "performance"):
            browser.get_log(log)
        browser.get(pages[name].as_uri())
        wait(browser, DRAW_NEXT, 0, seconds=60)
        opened[0] = (name, width, dark)
        return browser

    return go


def wait(browser: Any, script: str, expected: Any, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while (found := browser.execute_script(script)) != expected:
        assert time.monotonic() < end, (script, found)
        time.sleep(0.05)


def requests(browser: Any) -> list[str]:
    messages = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    sent = [m for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [m["params"]["request"]["url"] for m in sent]


@pytest.mark.parametrize("name", ["run", "compare", "large"])  # large stays open for the next
def test_quiet_console_and_no_network(visit, name):
    browser = visit(name)
    errors = [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    assert not errors
    outside = [u for u in requests(browser) if not u.startswith(("file:", "data:", "blob:"))]
    assert not outside
    drawn = browser.execute_script("return document.querySelectorAll('.main-svg').length")
    assert drawn >= 4
    assert "WebGL is not supported" not in browser.page_source.split("<script", 1)[0]


def test_thousands_of_classes_keep_few_rows_in_the_page(visit):
    browser = visit("large")
    count = "return document.querySelectorAll('#classes-grid tbody tr').length"
    assert 10 <= browser.execute_script(count) <= 60
    assert not browser.execute_script("return document.images.length")
    box = "document.getElementById('virtual')"
    browser.execute_script(f"{box}.scrollTop = {box}.scrollHeight")
    last = "const r = document.querySelectorAll('#classes-grid tbody tr'); return r[r.length - 1].getAttribute('aria-rowindex')"
    wait(browser, last, str(CLASSES + 1))
    assert browser.execute_script(count) <= 60
    assert browser.execute_script("return document.querySelectorAll('*').length") < 3000


def test_search_group_and_sorting(visit):
    browser = visit("large")
    found, rows = browser.find_element("id", "found"), "#classes-grid tbody tr:not(.gap)"
    field = browser.find_element("id", "find")
    assert found.text == f"{CLASSES} of {CLASSES} classes"
    field.send_keys("SP4071")
    assert found.text == f"1 of {CLASSES} classes"
    assert [r.text.split()[1] for r in browser.find_elements("css selector", rows)] == ["sp4071"]
    field.clear()
    field.send_keys("no such class")
    assert found.text == f"0 of {CLASSES} classes"
    assert not browser.find_elements("css selector", rows)
    field.clear()
    field.send_keys("genus1 sp")
    assert found.text == f"91 of {CLASSES} classes"
    browser.find_element("css selector", "#group option:nth-child(4)").click()
    groups = browser.execute_script(
        f"return Array.from(document.querySelectorAll('{rows}'), r => r.cells[1].textContent)"
    )
    assert groups
    assert set(groups) == {"few"}
    button = browser.find_elements("css selector", "#classes-grid thead button")[2]
    button.click()  # n train, already sorted downwards: now upwards
    assert button.find_element("xpath", "..").get_attribute("aria-sort") == "ascending"
    counts = browser.execute_script(
        f"return Array.from(document.querySelectorAll('{rows}'), r => Number(r.cells[2].textContent))"
    )
    assert counts == sorted(counts)


@pytest.mark.parametrize("name", ["run", "compare", "large"])
def test_a_narrow_screen_never_scrolls_sideways(visit, name):
    browser = visit(name, 360)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 360
    wide = browser.execute_script(
        "return Array.from(document.querySelectorAll('body *')).filter(e => "
        "!e.closest('.scroll, pre, nav, svg, .plot, .skip') "
        "&& e.getBoundingClientRect().right > 361).map(e => e.tagName + ' ' + e.className)"
    )
    assert not wide
    svg = (
        "return Math.max(...Array.from(document.querySelectorAll('.main-svg'), e => e.clientWidth))"
    )
    assert browser.execute_script(svg) <= 336


def test_images_labels_and_headings(visit):
    browser = visit("run")
    loaded = "return Array.from(document.images).filter(i => i.naturalWidth && i.alt).length"
    browser.execute_script("document.getElementById('images').scrollIntoView()")
    wait(browser, loaded, 12)
    assert browser.execute_script("return document.images.length") == 12
    for name in ("find", "group"):
        labelled = f"return document.getElementById('{name}').labels.length"
        assert browser.execute_script(labelled) == 1
    heads = browser.execute_script(
        "return Array.from(document.querySelectorAll('h2'), e => e.textContent)"
    )
    assert heads == [
        "Results", "Where it fails", "Worst images", "Classes", "All classes", "Calibration",
        "Training", "Cost", "Data and conditions", "Recipe",
    ]  # fmt: skip
    assert browser.find_element("id", "classes-grid").accessible_name


def test_a_class_name_is_text_in_tables_and_charts(visit):
    browser = visit("run")
    assert EVIL in browser.find_element("id", "classes-grid").text
    labels = browser.execute_script(
        "return Array.from(document.querySelectorAll('.main-svg text'), e => e.textContent)"
    )
    assert any(text.startswith("<script>") for text in labels)
    visit("compare")
    assert EVIL in browser.find_element("id", "results").text


def test_charts_follow_the_reader_into_the_dark(visit):
    ink = "return getComputedStyle(document.querySelector('.main-svg .xtitle')).fill"
    assert visit("run").execute_script(ink) == "rgb(28, 30, 33)"
    assert visit("run", dark=True).execute_script(ink) == "rgb(231, 232, 234)"
