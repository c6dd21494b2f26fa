"""Small pictures of the test rows that a run gets most wrong, for its report."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import torch
from PIL import Image

from longtail.engine.run import Predictions

__all__ = ["worst_examples"]


def worst_examples(
    split: Any, said: Predictions, names: list[str], *, limit: int = 24
) -> list[dict[str, str]]:
    """Missed images whose true class got the least probability, at most two a class.

    Returns:
        ``{"class", "prediction", "png"}`` with the picture in base64, worst first.
    """
    wrong = np.flatnonzero(said.prediction != said.target)
    ordered = wrong[np.argsort(said.target_probability[wrong], kind="stable")]
    taken: dict[int, int] = {}
    rows: list[int] = []
    for row in ordered.tolist():
        of = int(said.target[row])
        if taken.get(of, 0) < 2 and len(rows) < limit:
            taken[of] = taken.get(of, 0) + 1
            rows.append(row)
    if not rows:
        return []
    pixels = split.store.fetch(torch.tensor(rows)).cpu().numpy()
    return [
        {
            "class": names[int(said.target[row])],
            "prediction": names[int(said.prediction[row])],
            "png": _png(image),
        }
        for row, image in zip(rows, pixels, strict=True)
    ]


def _png(image: np.ndarray[Any, Any], side: int = 64) -> str:
    """``(c, h, w)`` uint8 as PNG, enlarged without smoothing when small."""
    picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
    scale = max(1, side // max(picture.size))
    if scale > 1:
        picture = picture.resize(
            (picture.width * scale, picture.height * scale), Image.Resampling.NEAREST
        )
    picture.thumbnail((2 * side, 2 * side))
    data = io.BytesIO()
    picture.save(data, format="PNG", optimize=True)
    return base64.b64encode(data.getvalue()).decode("ascii")
