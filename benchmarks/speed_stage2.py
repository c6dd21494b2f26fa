"""Second stage of decoupled training: cached features, exact mode, and the usual loop.

    python benchmarks/speed_stage2.py --data-root ../shared/data

CIFAR-100-LT images, ResNet-32 (frozen; its weights are random, which costs the same), batch 128, a
linear head. The usual loop is what published code does: Pillow transforms image by image, the frozen
network run in train mode every epoch in torch's default layout (ours is channels-last), ``.item()``
every step. Rows are a part of the training set (``--rows``): all three ways are linear in the
images. The further head epoch is timed on all rows.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from longtail.data import load
from longtail.engine.build import Settings, build_stage
from longtail.engine.feed import StageData
from longtail.engine.loop import run_stage
from longtail.engine.ranks import Ranks
from longtail.engine.stage import Recipe, Stage
from longtail.engine.state import RunState
from longtail.models import build_network
from longtail.registry import part
from longtail.types import ClassStats
from table import precision
from timing import save

EPOCHS = 10
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


class Usual(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Crop, flip, to tensor, normalise: one image at a time, with Pillow."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = images.permute(0, 2, 3, 1).numpy()
        self.labels = labels.tolist()
        self.rng = np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        padded = Image.new("RGB", (40, 40))
        padded.paste(Image.fromarray(self.images[i]), (4, 4))
        x, y = self.rng.integers(0, 9, 2)
        image = padded.crop((int(x), int(y), int(x) + 32, int(y) + 32))
        if self.rng.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(255)
        return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None], (
            self.labels[i]
        )


def usual_epoch(state: RunState, images: Tensor) -> Callable[[], None]:
    """One epoch of the usual loop, on a copy of the trunk in torch's own layout, as published."""
    data = Usual(images, state.data.labels)
    loader = torch.utils.data.DataLoader(data, batch_size=128, shuffle=True)
    trunk = copy.deepcopy(state.network.backbone).requires_grad_(False)
    trunk.to(memory_format=torch.contiguous_format)
    head = nn.Linear(64, state.stats.num_classes)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)

    def epoch() -> None:
        trunk.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(head(trunk(x)), y)
            loss.backward()
            optimizer.step()
            loss.item()

    return epoch


def make_state(data_root: str, rows: int, amp: torch.dtype | None = None) -> RunState:
    """A run on some rows of CIFAR-100-LT that has not begun."""
    data = load("cifar100-lt", data_root=data_root)
    labels = data.train.labels
    chosen = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:rows]
    used = StageData(data.train.store, chosen, labels[chosen])
    network = build_network(
        "single", input_spec=data.input_spec, backbone="resnet32", num_classes=100
    )
    stats = ClassStats(used.counts(100), data.class_names, on_empty="smooth")
    state = RunState(
        Recipe(stages=(Stage(),)), data, "resnet32", network, used, used, stats, 0,
        torch.device("cpu"), Ranks(), [], channels_last=True, amp=amp,
    )  # fmt: skip
    state.network = state.place(network)
    return state


def ours(state: RunState, epochs: int, cache: int | None) -> Callable[[], None]:
    """A whole second stage of ours, the feature pass included."""
    stage = Stage(
        epochs, name="retrain", sampler=part("class_aware", k=4), trains="head", bn="eval", cache=cache
    )  # fmt: skip
    return lambda: run_stage(build_stage(state, stage, 0, Settings(batch_size=128)), [])


def taken(run: Callable[[], Any]) -> float:
    """CPU seconds of one call."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    ask.add_argument("--data-root", default="../shared/data")
    ask.add_argument("--rows", type=int, default=1280)
    ask.add_argument("--rounds", type=int, default=3)
    args = ask.parse_args()
    torch.set_num_threads(1)
    state = make_state(args.data_root, args.rows)
    native = precision() == "bf16"  # elsewhere bf16 is emulated, and its time says nothing
    half = make_state(args.data_root, args.rows, torch.bfloat16) if native else None
    full = make_state(args.data_root, 10**9)
    images = state.data.store.fetch(state.data.index)
    usual = usual_epoch(state, images)
    cached_full = build_stage(
        full, Stage(EPOCHS, name="h", sampler=part("class_aware", k=4), trains="head", bn="eval", cache=0),
        0, Settings(batch_size=128),
    )  # fmt: skip
    rows: list[dict[str, float]] = []
    for _ in range(args.rounds):
        once = {
            "usual": EPOCHS * taken(usual),
            "exact": taken(ours(state, EPOCHS, None)),
            "cached": taken(ours(state, EPOCHS, 0)),
            "head epoch": taken(lambda: run_stage(dataclasses.replace(cached_full), [])) / EPOCHS,
        }
        once["usual epoch, all rows"] = once["usual"] / EPOCHS * len(full.data) / args.rows
        if half is not None:
            once["cached bf16"] = taken(ours(half, EPOCHS, 0))
        rows.append(once)
        print({k: round(v, 3) for k, v in once.items()}, flush=True)
    table = [
        ("10 epochs, cached", "cached", "exact", "exact mode of ours", "at most 1/8"),
        ("10 epochs, cached", "cached", "usual", "the usual loop", "at most 1/15"),
        ("10 epochs, cached, bf16", "cached bf16", "usual", "the usual loop", ""),
        ("10 epochs, exact mode", "exact", "usual", "the usual loop", ""),
        ("a further head epoch", "head epoch", "usual epoch, all rows", "the usual loop's epoch", "at most 1/500"),
    ]  # fmt: skip
    save(
        "stage2",
        [
            {
                "what": what,
                "against": name,
                "ratio": statistics.median(r[mine] / r[other] for r in rows),
                "seconds": statistics.median(r[mine] for r in rows),
                "goal": goal,
            }
            for what, mine, other, name, goal in table
            if mine in rows[0]
        ],
        f"python benchmarks/speed_stage2.py --rows {args.rows} --rounds {args.rounds}",
    )


if __name__ == "__main__":
    main()
