"""Writes what happens: a line an epoch, a progress bar. It listens and never steers."""

from __future__ import annotations

import sys
import time
from typing import Any

import torch

from longtail.engine.folder import RunFolder
from longtail.engine.loop import BuiltStage, Observer
from longtail.engine.state import RunState
from longtail.engine.tally import Tally
from longtail.metrics import Accumulator

__all__ = ["Recorder"]


class Recorder(Observer):
    """Progress bar, ``metrics.jsonl``, and validation accuracy after each epoch."""

    def __init__(self, state: RunState, folder: RunFolder, validation: Any, *, show: bool) -> None:
        self.state, self.folder, self.validation = state, folder, validation
        self.show = show
        self.bar: Any = None
        self.task: Any = None
        self.before = _seconds_before(folder)

    def seconds(self, began: float) -> float:
        """Seconds of this run so far, those before a resume included."""
        self._close()
        return round(self.before + time.perf_counter() - began, 3)

    def begin(self, stage: BuiltStage) -> None:
        """A stage starts (or goes on)."""
        self._close()
        if self.show:
            self._open(stage)
        self.started = time.perf_counter()

    def on_step(self, stage: BuiltStage, epoch: int, step: int, tally: Tally) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.update(self.task, completed=epoch * stage.steps + step + 1)

    def on_epoch(self, stage: BuiltStage, epoch: int, tally: Tally) -> None:
        """Write the epoch's line."""
        line = {
            "stage": stage.name,
            "stage_number": stage.number,
            "epoch": epoch + 1,
            "loss": tally.mean_loss(),
            "lr": tally.lr,
            "train_balanced_accuracy": tally.balanced_accuracy(),
            "validation_balanced_accuracy": self._validate(),
            "seconds": round(time.perf_counter() - tally.started, 4),
            **{k: float(v) / tally.done for k, v in tally.parts.items()},
        }
        if self.state.ranks.first:
            self.folder.log(line)
        if self.bar is not None:
            self.bar.update(
                self.task, accuracy=_describe(line), completed=(epoch + 1) * stage.steps
            )

    @torch.no_grad()
    def _validate(self) -> float | None:
        split = self.validation
        if split is None or not len(split.labels):
            return None
        state = self.state
        from longtail.engine.feed import StageData

        rows = StageData(split.store, torch.arange(len(split.labels)), split.labels)
        counter = Accumulator(state.stats.num_classes, device=state.device)
        logits = state.collect(rows, "logits")
        counter.update(logits.to(state.device), split.labels.to(state.device))
        value: float | None = counter.compute(state.stats)["balanced_accuracy"]
        return value

    def _open(self, stage: BuiltStage) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"), BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn(), TextColumn("{task.fields[accuracy]}"),
        )  # fmt: skip
        self.bar = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
        title = f"{self.state.recipe.name} · {stage.name}"
        self.task = self.bar.add_task(title, total=stage.epochs * stage.steps, accuracy="")
        self.bar.start()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def _describe(line: dict[str, Any]) -> str:
    for name in ("validation", "train"):
        value = line[f"{name}_balanced_accuracy"]
        if value is not None:
            return f"{name} balanced accuracy {100 * value:.1f} %"
    return ""


def _seconds_before(folder: RunFolder) -> float:
    """Seconds that the finished epochs of an interrupted run took."""
    import json

    file = folder.path / "metrics.jsonl"
    if not (folder.write and file.is_file()):
        return 0.0
    lines = [x for x in file.read_text("utf-8").splitlines() if x.endswith("}")]
    return float(sum(json.loads(x).get("seconds", 0.0) for x in lines))
