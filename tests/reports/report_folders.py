"""Made-up run folders that follow the schema of a real one."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from longtail.metrics import intervals
from longtail.types import ClassStats

EVIL = "<script>alert(1)</script>"


def png(value: int) -> str:
    """A tiny grey image as base64."""
    from PIL import Image

    stream = io.BytesIO()
    Image.new("L", (8, 8), value).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def counts_of(classes: int, largest: int, factor: float) -> np.ndarray:
    """Exponential training counts, shuffled so that class ids are not sorted by frequency."""
    n = largest * factor ** (-np.arange(classes) / (classes - 1))
    return np.random.default_rng(7).permutation(np.maximum(n.astype(int), 1))


def _said(counts: np.ndarray, per_class: int, skill: float, seed: int) -> dict[str, np.ndarray]:
    """Predictions that are better for frequent classes, with confidences to match."""
    rng = np.random.default_rng([seed, 3])
    fixed = np.random.default_rng(11)  # how hard a row is stays the same for every run
    c = len(counts)
    target = np.repeat(np.arange(c), per_class)
    ease = np.log(counts + 1) / np.log(counts.max() + 1)
    chance = np.clip(skill + (1 - skill) * ease, 0.02, 0.98)[target]
    hard = 0.85 * fixed.random(len(target)) + 0.15 * rng.random(len(target))
    right = hard < chance
    wrong = rng.choice(c, len(target), p=counts / counts.sum())
    prediction = np.where(right, target, wrong)
    confidence = np.clip(chance + rng.normal(0.08, 0.12, len(target)), 1 / c, 1)
    probability = np.where(prediction == target, confidence, (1 - confidence) / 2)
    ids = np.array([f"test/{i:06d}" for i in range(len(target))])
    return {"ids": ids, "target": target, "prediction": prediction,
            "confidence": confidence.astype(np.float32),
            "target_probability": probability.astype(np.float32)}  # fmt: skip


def _metrics(said: dict[str, np.ndarray], stats: ClassStats) -> dict[str, Any]:
    c = stats.num_classes
    right = (said["target"] == said["prediction"]).astype(float)
    total = np.bincount(said["target"], minlength=c)
    recall = np.bincount(said["target"], right, minlength=c) / total
    groups = {k: v.numpy() for k, v in stats.groups()[0].items()}
    worst = np.argsort(recall, kind="stable")[:10]
    predicted = np.bincount(said["prediction"], minlength=c)
    return {
        "accuracy": right.mean(),
        "balanced_accuracy": recall.mean(),
        **{k: float(recall[v].mean()) if len(v) else None for k, v in groups.items()},
        "per_class": recall.tolist(),
        "test_counts": total.tolist(),
        "ece": 0.061,
        "ece_signed": 0.05,
        "ece_floor": [0.021, 0.034],
        "ece_groups": {k: 0.05 + 0.03 * i if len(v) else None for i, (k, v) in enumerate(groups.items())},
        "ece_groups_predicted": {k: 0.04 if len(v) else None for k, v in groups.items()},
        "never_predicted": [stats.names[i] for i in np.flatnonzero(predicted == 0)],
        "worst": [
            {"class": stats.names[i], "recall": float(recall[i]), "n_train": int(stats.raw[i]),
             "n_test": int(total[i])}
            for i in worst
        ],
        "intervals": intervals(said["target"], right, stats, draws=200),
        "nll": 0.71,
        "brier": 0.38,
    }  # fmt: skip


def _recipe(name: str) -> dict[str, Any]:
    stage = {"name": "train", "loss": {"name": name, "options": {"tau": 1.0}}, "epochs": 1.0}
    return {"name": name, "options": {"tau": 1.0}, "network": {"name": "single"}, "stages": [stage]}


def fabricate(
    folder: Path,
    *,
    recipe: str = "ce",
    seed: int = 0,
    classes: int = 10,
    per_class: int = 50,
    skill: float = 0.3,
    largest: int = 120,
    factor: float = 50.0,
    names: Sequence[str] = (),
    images: int = 0,
    epochs: int = 15,
    notes: Sequence[str] = (),
    without: Sequence[str] = (),
) -> Path:
    """Write a run folder; ``without`` names files to leave out."""
    counts = counts_of(classes, largest, factor)
    names = tuple(names) or tuple(f"class {i}" for i in range(classes))
    stats = ClassStats(counts.tolist(), names)
    said = _said(counts, per_class, skill, seed)
    groups, rule = stats.groups()
    test = _metrics(said, stats)
    versions = {"longtail": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6", "python": "3.11.2"}
    metrics = {
        "recipe": recipe, "seed": seed, "test": test, "validation": None,
        "groups": {"rule": rule, **{k: v.tolist() for k, v in groups.items()}},
        "steps": 315, "samples_seen": 5040, "seconds": 41.7, "epochs": epochs, "batch_size": 16,
        "parameters": 98_442, "latency_ms": {"batch_1": 0.61, "batch_32": 0.11}, "device": "cpu",
        "versions": versions, "effective_prior": (counts / counts.sum()).tolist(),
        "target_prior": "as_trained", "notes": list(notes),
        "data": {"name": "made-up-lt", "fingerprint": f"{classes:08x}", "counts": counts.tolist(),
                 "class_names": list(names), "not_evaluable": []},
        "adjusters": [{"adjuster": "LogitAdjust", "notes": ["no validation data"], "tau": 1.0,
                       "chosen_on_validation": False}],
    }  # fmt: skip
    lines = [
        {"stage": "train" if e < epochs * 0.8 else "retrain", "stage_number": int(e >= epochs * 0.8), "epoch": e + 1, "lr": 0.1 * (1 - e / epochs),
         "loss": 2.3 * 0.8**e + 0.05 * seed, "train_balanced_accuracy": 1 - 0.8 * 0.75**e,
         "validation_balanced_accuracy": None, "seconds": 2.8, "cross_entropy": 2.1 * 0.8**e}
        for e in range(epochs)
    ]  # fmt: skip
    run = {"recipe": _recipe(recipe), "versions": versions, "class_names": list(names),
           "counts": counts.tolist(), "inputs": {"kind": "image"}, "seed": seed,
           "identity": {"recipe": _recipe(recipe), "seed": seed, "epochs": epochs, "lr": None}}  # fmt: skip
    folder.mkdir(parents=True)
    files: dict[str, Any] = {"metrics.json": metrics, "run.json": run}
    if images:
        files["thumbnails.json"] = [
            {"class": names[i % classes], "prediction": names[(i + 1) % classes], "png": png(9 * i)}
            for i in range(images)
        ]
    for name, value in files.items():
        if name not in without:
            (folder / name).write_text(json.dumps(value))
    if "metrics.jsonl" not in without:
        (folder / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    if "predictions.npz" not in without:
        np.savez_compressed(folder / "predictions.npz", allow_pickle=False, **said)
    return folder
