"""Tiny long-tailed data of every kind, and one thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

SIZES = (40, 16, 6, 2)
IDS = np.repeat(np.arange(4), SIZES)
WORDS = ("red apple", "green pear tree", "blue sky is high", "dark night")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_table(seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(len(IDS), 5))
    rows[:, 0] += 3 * IDS
    return rows


def make_images(seed: int = 0) -> np.ndarray:
    images = np.random.default_rng(seed).integers(0, 100, size=(len(IDS), 8, 8)).astype(np.uint8)
    images[np.arange(len(IDS)), 2 * IDS] += 150
    return images


def make_texts(seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [f"{WORDS[i]} number{rng.integers(20)}" for i in IDS]


@pytest.fixture
def ids() -> np.ndarray:
    return IDS.copy()


@pytest.fixture
def labels() -> np.ndarray:
    return np.array(["d", "c", "b", "a"])[IDS]


@pytest.fixture
def table() -> np.ndarray:
    return make_table()


@pytest.fixture
def images() -> np.ndarray:
    return make_images()


@pytest.fixture
def texts() -> list[str]:
    return make_texts()


@pytest.fixture
def inputs(table: np.ndarray, images: np.ndarray, texts: list[str]) -> dict[str, Any]:
    return {"table": table, "image": images, "text": texts}
