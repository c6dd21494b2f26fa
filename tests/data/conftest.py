"""Helpers that write small data sets to disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Noise = Callable[..., Image.Image]


@pytest.fixture(scope="session")
def noise() -> Noise:
    """``noise(seed, size=(height, width), mode="RGB")``: an image of random pixels."""

    def make(seed: int, size: tuple[int, int] = (12, 10), mode: str = "RGB") -> Image.Image:
        shape = size if mode == "L" else (*size, 3)
        return Image.fromarray(np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8))

    return make


@pytest.fixture
def image_folder(tmp_path: Path, noise: Noise) -> Path:
    """Three classes ``10``, ``2`` and ``<script>`` with 12, 6 and 1 images."""
    root = tmp_path / "pictures"
    seed = 0
    for name, count in (("10", 12), ("2", 6), ("<script>", 1)):
        folder = root / name
        folder.mkdir(parents=True)
        for i in range(count):
            noise(seed).save(folder / f"{i}.png")
            seed += 1
    return root
