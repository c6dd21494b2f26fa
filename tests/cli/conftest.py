"""The command line called in this process, and small data of every kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtail.cli import main

COUNTS = {"ant": 30, "bee": 12, "cat": 6}


@dataclass(frozen=True)
class Said:
    """What a call said and how it ended."""

    code: int
    out: str
    err: str

    def error(self) -> tuple[str, str]:
        """The two lines of an error that the user can mend."""
        assert self.code == 2, (self.code, self.out, self.err)
        lines = self.err.splitlines()
        assert len(lines) == 2, self.err
        assert lines[0].startswith("error: ")
        assert lines[1]
        return lines[0], lines[1]


Call = Callable[..., Said]


@pytest.fixture
def longtail(capsys: pytest.CaptureFixture[str]) -> Call:
    """``longtail("train", "digits-lt", ...)``."""

    def call(*words: object) -> Said:
        capsys.readouterr()
        try:
            main([str(w) for w in words])
            code: object = 0
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return Said(int(str(code or 0)), said.out, said.err)

    return call


def picture(label: int, number: int) -> Image.Image:
    """An 8 x 8 image whose class can be seen."""
    pixels = np.random.default_rng([label, number]).integers(0, 60, (8, 8, 3), dtype=np.uint8)
    pixels[:, label : label + 3, label] += 180
    return Image.fromarray(pixels)


def image_folder(place: Path) -> Path:
    """``class/file.png``."""
    for label, (name, count) in enumerate(COUNTS.items()):
        (place / name).mkdir(parents=True)
        for number in range(count):
            picture(label, number).save(place / name / f"{number:02d}.png")
    return place


def image_csv(place: Path) -> Path:
    """A manifest beside a folder of images."""
    folder = image_folder(place / "images")
    lines = ["path,label"]
    lines += [
        f"images/{p.relative_to(folder).as_posix()},{p.parent.name}"
        for p in sorted(folder.rglob("*.png"))
    ]
    file = place / "images.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def text_csv(place: Path) -> Path:
    """Short texts with a word or two that give the class away."""
    words = {"ant": "small brown busy", "bee": "yellow loud striped", "cat": "soft lazy purring"}
    lines = ["text,label"]
    for name, count in COUNTS.items():
        lines += [
            f'"the {w} one, number {i}",{name}'
            for i in range(count)
            for w in [words[name].split()[i % 3]]
        ]
    place.mkdir(parents=True, exist_ok=True)
    file = place / "texts.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def table_csv(place: Path) -> Path:
    """Two numeric columns and one of words."""
    lines = ["size,weight_g,colour,label"]
    for label, (name, count) in enumerate(COUNTS.items()):
        rows = np.random.default_rng(label).normal(label, 0.4, (count, 2))
        lines += [
            f"{a:.3f},{b:.3f},{'red' if i % 2 else 'blue'},{name}" for i, (a, b) in enumerate(rows)
        ]
    place.mkdir(parents=True, exist_ok=True)
    file = place / "table.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def arrays_npz(place: Path) -> Path:
    """Images and labels as arrays."""
    pairs = [(label, i) for label, count in enumerate(COUNTS.values()) for i in range(count)]
    x = np.stack([np.asarray(picture(label, i)) for label, i in pairs])
    place.mkdir(parents=True, exist_ok=True)
    file = place / "arrays.npz"
    np.savez(file, X=x, y=np.array([label for label, _ in pairs]))
    return file


SOURCES = {
    "folder": image_folder,
    "csv of images": image_csv,
    "csv of texts": text_csv,
    "csv of columns": table_csv,
    "npz": arrays_npz,
}
