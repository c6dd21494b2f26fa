"""Decoupling's two observations as a grid: 4 first-stage samplers by 5 classifiers.

    python benchmarks/decoupling.py --data-root ../shared/data --seeds 2

Each sampler trains a network once (Fashion-MNIST-LT, small CNN); every classifier is then fitted on
its frozen features (`longtail train ... --from RUN`). A validation part is cut for all, since two of
the classifiers choose on it. A figure that is there is not made again. Writes
`benchmarks/results/decoupling.json` and `docs/decoupling.md`; runs lie under `local-data`.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch

from longtail.engine.runner import RunConfig, fit

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "local-data" / "decoupling"
RESULTS = ROOT / "benchmarks" / "results" / "decoupling.json"
PAGE = ROOT / "docs" / "decoupling.md"
COMMAND = "python benchmarks/decoupling.py --data-root ../shared/data"
SAMPLERS = ("instance", "class_balanced", "square_root", "progressive")
#: column -> recipe whose second stage it is; "joint" is the classifier trained with the network
HEADS = {
    "joint": "", "ncm": "decoupled_ncm", "crt": "crt", "tau": "decoupled_tau",
    "lws": "decoupled_lws",
}  # fmt: skip
GROUPS = ("balanced_accuracy", "many", "medium", "few")
Row = dict[str, Any]


def config(args: argparse.Namespace, name: str, **given: Any) -> RunConfig:
    """What all runs share."""
    return RunConfig(
        data="fashion-mnist-lt", data_root=args.data_root, backbone="small_cnn", batch_size=128,
        validation=0.1, device="cpu", progress=False, output=RUNS / name, resume=True, **given,
    )  # fmt: skip


def cells(args: argparse.Namespace, sampler: str, seed: int) -> list[Row]:
    """Train the network once and fit each classifier on it."""
    name = f"{sampler}-{args.epochs}-{seed}"
    first = fit(
        config(args, name, recipe="ce", set=(f"sampler={sampler}",), epochs=args.epochs, seed=seed)
    )
    found = []
    for column, recipe in HEADS.items():
        run = first
        if recipe:
            start = {"recipe": recipe, "epochs": args.head_epochs, "start": RUNS / name}
            run = fit(config(args, f"{name}-{column}-{args.head_epochs}", seed=seed, **start))
        test = run.metrics["test"]
        scores = {g: test[g] for g in GROUPS}
        found.append({"sampler": sampler, "classifier": column, "seed": seed, **scores})
        print(f"{sampler:15s} {column:6s} seed {seed}: {100 * test['balanced_accuracy']:.2f}")
    return found


def mean(rows: list[Row], sampler: str, column: str, score: str) -> tuple[float, str]:
    """Mean over seeds in percent, and the mean with its deviation as text."""
    kept = [r for r in rows if (r["sampler"], r["classifier"]) == (sampler, column)]
    values = [100 * r[score] for r in kept]
    middle = statistics.mean(values)
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return middle, f"{middle:.1f}{spread}"


def grid(rows: list[Row], score: str) -> list[str]:
    """One table: a line a sampler, a column a classifier."""
    out = [f"| first stage | {' | '.join(HEADS)} |", "|---" * (1 + len(HEADS)) + "|"]
    for sampler in SAMPLERS:
        pairs = [mean(rows, sampler, column, score) for column in HEADS]
        out.append(f"| {sampler} | " + " | ".join(said for _, said in pairs) + " |")
    return [*out, ""]


def observations(rows: list[Row]) -> list[str]:
    """What the figures say of the two claims, computed from them."""
    score = {(s, c): mean(rows, s, c, "balanced_accuracy")[0] for s in SAMPLERS for c in HEADS}
    fitted = [c for c in HEADS if c != "joint"]
    winners = {c: max(SAMPLERS, key=lambda s: score[s, c]) for c in fitted}
    own = [c for c in fitted if winners[c] == "instance"]
    said = ", ".join(f"{c} on {winners[c]}" for c in fitted)
    best_joint = max(SAMPLERS, key=lambda s: score[s, "joint"])
    top = max(score, key=lambda k: score[k])
    gain = {c: score["instance", c] - score["instance", "joint"] for c in fitted}
    up = [c for c in fitted if gain[c] > 0]
    past = [c for c in fitted if score["instance", c] > score[best_joint, "joint"]]
    return [
        "**Observation 1: plain (instance-balanced) sampling gives the most general features.** Here it "
        f"does for {len(own)} of {len(fitted)} classifiers: best is {said}.",
        "",
        "**Observation 2: on plain features, re-adjusting the classifier is enough.** Here "
        f"{len(up)} of {len(fitted)} classifiers gain over the joint one "
        f"({score['instance', 'joint']:.1f}): "
        + ", ".join(f"{c} {g:+.1f}" for c, g in gain.items())
        + f"; {len(past)} of {len(fitted)} reach past the best joint training ({best_joint}, "
        f"{score[best_joint, 'joint']:.1f}). The best cell of all is {top[0]} with {top[1]}, "
        f"{score[top]:.1f}.",
        "",
    ]


def page(found: dict[str, Any]) -> str:
    """The whole page."""
    rows, about = found["rows"], found["conditions"]
    seeds = len({r["seed"] for r in rows})
    out = [
        "# Decoupling", "",
        "Kang et al. (ICLR 2020) train features and classifier apart and observe two things. This grid "
        "looks for both: four samplers train a network, five classifiers answer on its features. "
        "`joint` is the classifier trained with the network, `ncm` the nearest class mean, `crt` a "
        "fresh classifier trained on balanced classes, `tau` tau-normalisation, `lws` learned scales "
        "(`longtail explain decoupled_lws`); the normalisation of `ncm` and the exponent of `tau` are "
        "chosen on validation rows.", "",
        f"Fashion-MNIST-LT, imbalance factor 100, small CNN, batch 128, {about['epochs']} epochs, "
        f"{about['head_epochs']} epochs of a classifier on cached features, {seeds} seed{'s' * (seeds > 1)}, torch "
        f"{about['torch']}. Percent, mean over seeds{' and deviation' * (seeds > 1)}. Written by `{COMMAND} --seeds {seeds}`.", "",
        "## Balanced accuracy", "", *grid(rows, "balanced_accuracy"), *observations(rows),
    ]  # fmt: skip
    for group in GROUPS[1:]:
        if all(r[group] is not None for r in rows):
            out += [f"## Classes with {group} samples", "", *grid(rows, group)]
    return "\n".join(out).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-root", default="../shared/data")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--head-epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [r for seed in range(args.seeds) for s in SAMPLERS for r in cells(args, s, seed)]
    about = {"epochs": args.epochs, "head_epochs": args.head_epochs, "torch": torch.__version__}
    RESULTS.write_text(json.dumps({"conditions": about, "rows": rows}, indent=1) + "\n")
    PAGE.write_text(page(json.loads(RESULTS.read_text())), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
