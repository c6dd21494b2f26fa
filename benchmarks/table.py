"""Result tables, one resumable command: trains what is missing, then writes docs/results.md.

    python benchmarks/table.py train fashion --data-root ../shared/data --jobs 2
    python benchmarks/table.py train cifar10 --data-root ../shared/data --jobs 2
    python benchmarks/table.py write

A finished row is appended to ``benchmarks/results/SET.jsonl`` with its steps, samples, seconds,
conditions and one bit a test row (right or wrong, by sorted id), which is all that a paired
comparison needs; ``SET-test.npz`` holds the labels of those rows. A row that is there is not
trained again, on this machine or another, and an interrupted one is resumed. Run folders lie under
``local-data/table`` (not committed).
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
RUNS = ROOT / "local-data" / "table"

FIRST = (
    "ce", "balanced_softmax", "ldam_drw", "crt", "weighted_ce", "cb", "focal", "drw", "ldam", "ros",
    "rus", "class_balanced", "square_root", "progressive", "la", "la_posthoc", "tau_norm", "mixup",
    "manifold_mixup", "bbn", "sade", "meta_weight_net", "paco", "hfl", "pseudo_label",
)  # fmt: skip
SECOND = (
    "class_aware", "effective_number_sampling", "repeat_factor", "prs", "bilateral", "quintuplet", "dcl",
    "meta_sampler", "eql", "eqlv2", "seesaw", "acsl", "cdb", "influence_balanced", "area", "adrw_tla",
    "elm", "vs", "gcl", "kps", "uncertainty_margin", "pc_softmax", "lade", "uno_ic", "la_pairwise",
    "cosine", "lws", "ncm", "tde", "rtc", "gist", "etf", "generative_head", "decoupled_lws",
    "decoupled_tau", "decoupled_ncm", "mislas", "disalign", "marc", "weight_balancing", "los",
)  # fmt: skip
FOUR = ("ce", "balanced_softmax", "ldam_drw", "crt")


def precision() -> str:
    """bf16 where the CPU has instructions for it; elsewhere torch emulates it, slower than 32 bits."""
    return "bf16" if torch.cpu.get_capabilities().get("avx512_bf16") else "32"


@dataclass(frozen=True)
class Set:
    """A table: which data, which recipes, under which budget."""

    title: str
    data: str
    recipes: tuple[str, ...]
    epochs: int
    seeds: int
    flags: tuple[str, ...] = ()
    note: str = ""


SETS = {
    "fashion": Set(
        "Fashion-MNIST-LT, IF 100, small CNN, batch 128, 15 epochs", "fashion-mnist-lt",
        FIRST + SECOND, 15, 3,
        ("--backbone", "small_cnn", "--batch-size", "128"),
    ),
    "fashion-labelled": Set(
        "Fashion-MNIST-LT with 20 % of the labels, as above", "fashion-mnist-lt", ("ce",), 15, 3,
        ("--backbone", "small_cnn", "--batch-size", "128", "--labelled-share", "0.2"),
    ),
    "fashion-x4": Set(
        "Fashion-MNIST-LT, four times the steps (60 epochs)", "fashion-mnist-lt",
        ("ce", "mixup"), 60, 1,
        ("--backbone", "small_cnn", "--batch-size", "128"),
    ),
    "fashion-x4-alpha": Set(
        "The same 60 epochs, mixup with one thing changed: `alpha=0.2` (1 is its default)",
        "fashion-mnist-lt", ("mixup",), 60, 1,
        ("--backbone", "small_cnn", "--batch-size", "128", "--set", "alpha=0.2"),
        "Why mixup stays below `ce` here: `alpha=0` is `ce`, and the distance grows with `alpha` in the "
        "tables above and below, so it is the mixing itself, not another part of the recipe.",
    ),
    "fashion-vs": Set(
        "Fashion-MNIST-LT, 15 epochs, vs with two things changed: `gamma=0.05`, `tau=0.75` (defaults 0.3, 1)",
        "fashion-mnist-lt", ("vs",), 15, 1,
        ("--backbone", "small_cnn", "--batch-size", "128", "--set", "gamma=0.05", "--set", "tau=0.75"),
        "Why vs stays below `ce` in the table above: its temperatures; `gamma=0` is `la`, which does not.",
    ),
    "fashion-tde": Set(
        "Fashion-MNIST-LT, 15 epochs, tde with one thing changed: `alpha=0.5` (default 1.5)",
        "fashion-mnist-lt", ("tde",), 15, 1,
        ("--backbone", "small_cnn", "--batch-size", "128", "--set", "alpha=0.5"),
        "Training does not see `alpha`: it is how much of the mean direction is removed at test.",
    ),
    "fashion-etf": Set(
        "Fashion-MNIST-LT, 15 epochs, etf with one thing changed: cross-entropy in place of dot-regression",
        "fashion-mnist-lt", ("etf",), 15, 1,
        ("--backbone", "small_cnn", "--batch-size", "128", "--set", "loss=cross_entropy"),
        "Why etf stays below `ce` in the table above: its loss learns rare classes slowly; the fixed "
        "classifier and the rest of the recipe are the same in both.",
    ),
    "cifar10": Set(
        "CIFAR-10-LT, IF 100, ResNet-32, batch 128, 20 epochs", "cifar10-lt",
        (
            "ce", "balanced_softmax", "ldam_drw", "crt", "mixup", "sade", "class_balanced", "progressive",
            "cb", "vs", "gcl", "seesaw", "meta_weight_net", "lade", "tde", "etf", "mislas",
            "weight_balancing",
        ), 20, 1,
        ("--backbone", "resnet32", "--batch-size", "128", "--precision", precision()),
        "meta_weight_net: its weights are not normalised (as published), and their mean fell from 0.54 in the "
        "first epoch to 0.03 in the last, so its steps are that much smaller than those of `ce`; its last "
        "epochs ran on two threads.",
    ),
    "cifar10-first": Set(
        "CIFAR-10-LT as above, an earlier run (crt in exact mode; right and wrong a row not kept)",
        "cifar10-lt", FOUR, 20, 1,
        ("--backbone", "resnet32", "--batch-size", "128", "--precision", "bf16"),
    ),
    "r8": Set("R8 (text), 20 epochs", "local-data/csv/r8.csv", FOUR, 20, 3),
    "goemotions": Set("GoEmotions (text), 5 epochs", "local-data/csv/goemotions.csv", FOUR, 5, 1),
    "nslkdd": Set("NSL-KDD (table), 10 epochs", "local-data/csv/nslkdd.csv", FOUR, 10, 1),
    "shuttle": Set("shuttle (table), 5 epochs", "local-data/csv/shuttle.csv", FOUR, 5, 1),
}  # fmt: skip


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    verbs = ask.add_subparsers(dest="verb", required=True)
    train = verbs.add_parser("train", help="train the missing rows of a set")
    train.add_argument("set", choices=SETS)
    train.add_argument("--recipes", help="only these, separated by commas")
    train.add_argument("--seeds", type=int)
    train.add_argument("--jobs", type=int, default=1, help="runs at once, one thread each")
    train.add_argument("--data-root", default="../shared/data")
    verbs.add_parser("write", help="write docs/results.md from the finished rows")
    args = ask.parse_args()
    if args.verb == "write":
        from table_page import write  # beside this file

        return int(write(SETS, RESULTS, ROOT / "docs" / "results.md"))
    return train_set(args.set, args)


def rows(name: str) -> list[dict[str, Any]]:
    """Finished rows of a set."""
    file = RESULTS / f"{name}.jsonl"
    return [json.loads(x) for x in file.read_text().splitlines()] if file.is_file() else []


def train_set(name: str, args: argparse.Namespace) -> int:
    table = SETS[name]
    done = {(r["recipe"], r["seed"]) for r in rows(name)}
    recipes = args.recipes.split(",") if args.recipes else table.recipes
    seeds = args.seeds or table.seeds
    todo = [(r, s) for s in range(seeds) for r in recipes if (r, s) not in done]
    print(f"{name}: {len(done)} rows are there, {len(todo)} to train")
    with ThreadPoolExecutor(args.jobs) as pool:
        failed = sum(pool.map(lambda job: one(name, *job, args.data_root), todo))
    return 1 if failed else 0


def command(name: str, recipe: str, seed: int, data_root: str) -> Iterator[str]:
    table = SETS[name]
    yield from ("train", table.data, "--recipe", recipe, "--epochs", str(table.epochs))
    root = () if table.data.endswith(".csv") else ("--data-root", data_root)
    yield from ("--seed", str(seed), *root, *table.flags)


def one(name: str, recipe: str, seed: int, data_root: str) -> int:
    """Train one row in a process of its own; 1 when it failed."""
    folder = RUNS / name / f"{recipe}-seed{seed}"
    words = list(command(name, recipe, seed, data_root))
    line = [
        sys.executable,
        "-m",
        "longtail",
        *words,
        "--device",
        "cpu",
        "--output",
        str(folder),
        "--resume",
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    result = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True)
    if result.returncode:
        print(f"{name} {recipe} seed {seed} failed:\n{result.stderr.strip()[-600:]}")
        return 1
    metrics = json.loads((folder / "metrics.json").read_text())
    kept = (
        "steps",
        "samples_seen",
        "seconds",
        "epochs",
        "batch_size",
        "parameters",
        "device",
        "versions",
    )
    test = {
        k: metrics["test"][k]
        for k in ("accuracy", "balanced_accuracy", "many", "medium", "few", "ece")
    }
    row = {
        "recipe": recipe,
        "seed": seed,
        "test": test,
        **{k: metrics[k] for k in kept},
        "fingerprint": metrics["data"]["fingerprint"],
        "machine": f"{platform.machine()}, one thread a run",
        "command": "longtail " + " ".join(words),
        "correct": correct(name, folder),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    with open(RESULTS / f"{name}.jsonl", "a") as file:
        file.write(json.dumps(row) + "\n")
    print(
        f"{name} {recipe} seed {seed}: {100 * test['balanced_accuracy']:.2f} in {row['seconds']:.0f} s",
        flush=True,
    )
    return 0


def correct(name: str, folder: Path) -> str:
    """Which test rows were right, packed, sorted by id; their labels go to ``SET-test.npz``."""
    said = np.load(folder / "predictions.npz")
    order = np.argsort(said["ids"].astype(str), kind="stable")
    target = said["target"][order]
    RESULTS.mkdir(parents=True, exist_ok=True)
    test = RESULTS / f"{name}-test.npz"
    if not test.is_file():
        info = json.loads((folder / "run.json").read_text())
        np.savez_compressed(
            test, target=target.astype(np.int32), counts=info["counts"], names=info["class_names"]
        )
    elif not np.array_equal(np.load(test)["target"], target):
        raise SystemExit(
            f"{name}: the test rows are not those of {test.name}; remove both to start"
        )
    right = np.packbits(said["prediction"][order] == target)
    return base64.b64encode(right.tobytes()).decode()


if __name__ == "__main__":
    sys.exit(main())
