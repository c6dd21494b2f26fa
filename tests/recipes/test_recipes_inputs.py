"""Every recipe trains on an image folder, on CSV files and on arrays."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtail.data import Dataset, load
from longtail.engine.runner import RunConfig, fit
from longtail.engine.stage import make_recipe
from longtail.registry import Record, records

pytestmark = pytest.mark.full

RECIPES = records("recipes")
COUNTS = {"ant": 18, "bee": 9, "<cat>": 6, "dog": 5}
WORDS = ("sea sand wave", "goal match team", "vote law state", "oven salt soup")


@cache
def images() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(4), list(COUNTS.values()))
    x = rng.integers(0, 90, (len(y), 12, 12, 3))
    x[np.arange(len(y)), 2 * y + 1] += 150
    return x.astype(np.uint8), y


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """One small set as a folder, as files with columns and texts, and as arrays."""
    root: Path = tmp_path_factory.mktemp("inputs")
    x, y = images()
    names = list(COUNTS)
    for i, (picture, label) in enumerate(zip(x, y, strict=True)):
        folder = root / "pictures" / ("train" if i % 3 else "test") / names[label].strip("<>")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{i}.png")
    rng = np.random.default_rng(1)
    with (root / "columns.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["width", "height", "colour", "label"])
        for label in y:
            numbers = rng.normal(size=2) + label
            rows.writerow(
                [f"{numbers[0]:.3f}", f"{numbers[1]:.3f}", "rgb"[label % 3], names[label]]
            )
    with (root / "texts.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for i, label in enumerate(y):
            rows.writerow([f"{WORDS[label]} number {i}", names[label]])
    table = rng.normal(size=(len(y), 5)).astype(np.float32) + 2 * np.eye(5, dtype=np.float32)[y]
    return {
        "folder": root / "pictures",
        "csv-columns": root / "columns.csv",
        "csv-texts": root / "texts.csv",
        "arrays-table": (table, y),
        "arrays-images": (x, y),
    }


KINDS = {
    "folder": "image",
    "csv-columns": "table",
    "csv-texts": "text",
    "arrays-table": "table",
    "arrays-images": "image",
}


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("record", RECIPES, ids=lambda r: r.name)
def test_trains_on(record: Record, source: str, sources: dict[str, object]) -> None:
    if KINDS[source] not in record.modalities:
        pytest.skip(f"{record.name} works on {', '.join(record.modalities)}")
    share = 0.5 if "unlabelled" in record.needs else None
    data: Dataset = load(
        sources[source], validation="validation" in record.needs, labelled_share=share
    )
    assert data.modality == KINDS[source]
    epochs = len(make_recipe(record).stages)
    config = RunConfig(recipe=record.name, epochs=epochs, device="cpu", progress=False)
    run = fit(config, dataset=data)
    assert 0 <= run.metrics["test"]["balanced_accuracy"] <= 1
    assert sorted(run.class_names) == sorted(data.class_names)
