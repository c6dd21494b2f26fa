"""Runs the stages of a recipe one after the other, resumable at any moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from longtail.engine.build import Settings, build_stage, stage_prior
from longtail.engine.checkpoint import (
    fitting,
    join_state,
    optimizer_state,
    restore_optimizer,
    split_state,
)
from longtail.engine.feed import StageData
from longtail.engine.folder import RunFolder, to_list
from longtail.engine.loop import BuiltStage, Observer, run_stage
from longtail.engine.ranks import Ranks
from longtail.engine.stage import Stage, stage_from_data, stage_to_data
from longtail.engine.state import RunState
from longtail.engine.tally import Tally
from longtail.errors import CheckpointError, NonFiniteLossError
from longtail.registry import instantiate

__all__ = ["Saver", "Trainer", "run_handover"]


def run_handover(state: RunState, spec: Any) -> None:
    """Run one handover."""
    instantiate("handovers", spec)(state)


class JoinRanks(Observer):
    """After an epoch: what ranks keep apart becomes one, before anything is read or saved.

    Running statistics are averaged, in the averaged copy too; counts are added up.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks

    def on_epoch(self, stage: BuiltStage, epoch: int, tally: Tally) -> None:
        """Join running statistics, counts and logged losses over ranks."""
        self.ranks.average_buffers_(stage.ctx.model)
        if stage.average is not None:
            self.ranks.average_buffers_(stage.average)
        tally.settle()
        means = [tally.losses, *tally.parts.values()]
        self.ranks.sum_([tally.correct, tally.seen, *means])
        for value in means:
            value.div_(self.ranks.world)


class Saver(Observer):
    """Saves the whole training state, at most every ``seconds`` and for at most 2 % of the time.

    With several ranks it saves at the end of an epoch only, when the first rank says so.
    """

    def __init__(
        self, state: RunState, folder: RunFolder, seconds: float, share: float = 0.02
    ) -> None:
        self.state, self.folder, self.seconds, self.share = state, folder, seconds, share
        self.began = self.last = time.monotonic()
        self.spent = 0.0

    def on_step(self, stage: BuiltStage, epoch: int, step: int, tally: Tally) -> None:
        """Save when it is time; the state is that of the next step."""
        if self.state.ranks.world == 1 and step + 1 < stage.steps and self._due():
            self._save(stage, epoch, step + 1, tally)

    def on_epoch(self, stage: BuiltStage, epoch: int, tally: Tally) -> None:
        """Save when it is time."""
        if self.state.ranks.broadcast(self._due()) and epoch + 1 < stage.epochs:
            self._save(stage, epoch + 1, 0, None)

    def _due(self) -> bool:
        now = time.monotonic()
        cheap = self.seconds == 0 or self.spent <= self.share * (now - self.began)
        return self.folder.write and cheap and now - self.last >= self.seconds

    def _save(self, stage: BuiltStage, epoch: int, step: int, tally: Tally | None) -> None:
        begin = time.monotonic()
        if self.state.ranks.first:
            about = {"stage": stage.number, "epoch": epoch, "step": step}
            tensors = stage_state(stage, tally)
            if finite(split_state(tensors)["network"]):  # else the one before is the last good one
                self.folder.save_state("latest", tensors, about)
        self.last = time.monotonic()
        self.spent += self.last - begin


def finite(state: Mapping[str, Tensor]) -> bool:
    """True when every number of a state is finite."""
    return all(bool(torch.isfinite(v).all()) for v in state.values() if v.is_floating_point())


def stage_state(stage: BuiltStage, tally: Tally | None) -> dict[str, Tensor]:
    """All tensors that a stage changes as it trains."""
    parts = {
        "network": stage.ctx.model.state_dict(),
        "objective": stage.objective.state_dict(),
        "loss": stage.ctx.loss.state_dict(),
        "update": stage.ctx.update.state_dict(),
    }
    for name, optimizer in stage.ctx.optimizers.items():
        parts[f"optimizer:{name}"] = optimizer_state(optimizer)
    if stage.average is not None:
        parts["average"] = stage.average.state_dict()
    if stage.scaler is not None:
        kept = {k: torch.as_tensor(v) for k, v in stage.scaler.state_dict().items()}
        parts["scaler"] = kept
    if tally is not None:
        tally.settle()
        parts["tally"] = {"losses": tally.losses, "correct": tally.correct, "seen": tally.seen}
        parts["tally:parts"] = {k: torch.as_tensor(v) for k, v in tally.parts.items()}
        parts["tally"]["done"] = torch.tensor(tally.done)
    return join_state(**parts)


def restore_stage(stage: BuiltStage, tensors: dict[str, Tensor]) -> Tally | None:
    """Put back what :func:`stage_state` took; returns the tally of a half-done epoch."""
    parts = split_state(tensors)
    device = stage.feed.device
    stage.ctx.model.load_state_dict(parts.get("network", {}))
    stage.objective.load_state_dict(parts.get("objective", {}))
    stage.ctx.loss.load_state_dict(parts.get("loss", {}))
    stage.ctx.update.load_state_dict(parts.get("update", {}))
    for name, optimizer in stage.ctx.optimizers.items():
        restore_optimizer(optimizer, parts.get(f"optimizer:{name}", {}))
    if stage.average is not None:
        stage.average.load_state_dict(parts["average"])
    if stage.scaler is not None:
        stage.scaler.load_state_dict({k: v.item() for k, v in parts["scaler"].items()})
    if "tally" not in parts:
        return None
    kept = {k: v.to(device) for k, v in parts["tally"].items()}
    extra = {k: v.to(device) for k, v in parts.get("tally:parts", {}).items()}
    return Tally(kept["losses"], kept["correct"], kept["seen"], extra, int(kept["done"]))


class Trainer:
    """Runs the stages; every stage boundary is on disk before the next begins."""

    def __init__(
        self,
        state: RunState,
        folder: RunFolder,
        settings: Settings,
        *,
        observers: list[Observer],
        seconds: float,
        prepare: Callable[[BuiltStage], None] | None = None,
    ) -> None:
        self.state, self.folder, self.settings = state, folder, settings
        self.observers = observers
        self.saver = Saver(state, folder, seconds)
        self.prepare = prepare
        self.steps = self.samples = 0
        self.prior = state.prior

    def run(self) -> None:
        """Train what is left to train."""
        number = self._recover()
        while number < len(self.state.stages):
            stage = self.state.stages[number]
            if stage.expand is not None:
                self._expand(number, stage)
                continue
            self._enter(number, stage)
            built = build_stage(self.state, stage, number, self.settings)
            if self.prepare is not None:
                self.prepare(built)
            if stage.trains_head:
                self.prior = stage_prior(self.state, stage, built)
            epoch, step, tally = self._latest(number, built)
            observers = [JoinRanks(self.state.ranks), *self.observers, self.saver]
            run_stage(built, observers, epoch=epoch, step=step, tally=tally)
            self._leave(number, stage, built)
            number += 1
        for spec in self.state.recipe.finish:
            run_handover(self.state, spec)

    def _expand(self, number: int, stage: Stage) -> None:
        assert stage.expand is not None
        new = instantiate("handovers", stage.expand).expand(self.state, stage)
        self.state.stages[number : number + 1] = list(new)
        self._journal(number)

    def _enter(self, number: int, stage: Stage) -> None:
        """Bring network and data to where the stage starts, or read that from disk."""
        state = self.state
        name = f"start-{number}"
        if state.ranks.broadcast(self.folder.has_state(name)):  # asked before the first rank writes
            tensors, about = self.folder.load_state(name)
            parts = split_state(tensors)
            with fitting(name):
                state.network.load_state_dict(parts["network"])
                state.data = self._data(parts.get("data"), about["extra_rows"])
                state.teachers = dict(about["teachers"])
                state.structure = about["structure"]
                state.notes[:] = about["notes"]
            return
        if stage.init_from:
            state.network.load_state_dict(state.ends[stage.init_from])
        if stage.data_from:
            state.data = state.start if stage.data_from == "start" else state.datas[stage.data_from]
        for spec in stage.before:
            run_handover(state, spec)
        kept: dict[str, Any] = {"network": state.network.state_dict()}
        if state.data is not state.start:
            kept["data"] = _pack(state.data)
        about = {
            "extra_rows": state.data.extra_rows,
            "teachers": state.teachers,
            "structure": state.structure,
            "notes": state.notes,
        }
        if state.ranks.first:
            self.folder.save_state(name, join_state(**kept), about)
        state.ranks.barrier()

    def _data(self, packed: dict[str, Tensor] | None, extra_rows: int) -> StageData:
        if packed is None:
            return self.state.start
        device = self.state.start.labels.device
        live = {k: v.to(device) for k, v in packed.items()}
        return StageData(
            self.state.start.store, live["index"], live["labels"], live.get("weight"), extra_rows
        )

    def _latest(self, number: int, built: BuiltStage) -> tuple[int, int, Tally | None]:
        """Where in a stage to go on; log lines that will be written again are dropped."""
        epoch, step, tally = 0, 0, None
        if self.state.ranks.broadcast(self.folder.has_state("latest")):
            tensors, about = self.folder.load_state("latest")
            with fitting("latest"):
                if about["stage"] == number:
                    tally = restore_stage(built, tensors)
                    epoch, step = int(about["epoch"]), int(about["step"])
        self.folder.trim_log(lambda line: (line["stage_number"], line["epoch"]) <= (number, epoch))
        return epoch, step, tally

    def _leave(self, number: int, stage: Stage, built: BuiltStage) -> None:
        state = self.state
        if built.average is not None:
            state.network.load_state_dict(built.average.model.state_dict())
        if not finite(state.network.state_dict()):
            raise NonFiniteLossError(
                f"the last steps of stage {stage.name!r} left weights that are not finite",
                "try a smaller --lr or --set clip=1.0, in another --output",
            )
        self._count(built)
        state.ends[stage.name] = {
            k: v.detach().clone() for k, v in state.network.state_dict().items()
        }
        state.datas[stage.name] = state.data
        if state.ranks.first:
            about = {
                "stage": number,
                "name": stage.name,
                "steps": self.steps,
                "samples": self.samples,
                "prior": to_list(self.prior),
            }
            self.folder.save_state(
                f"end-{number}", join_state(network=state.ends[stage.name]), about
            )
            self._journal(number + 1)
        state.ranks.barrier()

    def _count(self, built: BuiltStage) -> None:
        self.steps += built.epochs * built.steps
        streams = 1 + sum(bool(name) for name in built.objective.streams)
        self.samples += built.epochs * built.feed.rows * streams

    def _journal(self, finished: int) -> None:
        if self.state.ranks.first:
            stages = [stage_to_data(s) for s in self.state.stages]
            self.folder.save("journal.json", {"stages": stages, "finished": finished,
                                              "structure": self.state.structure})  # fmt: skip

    def _recover(self) -> int:
        """Read finished stages back; the number of the stage to go on with."""
        if not self.folder.has("journal.json"):
            return 0
        with fitting("journal.json"):
            return self._finished()

    def _finished(self) -> int:
        journal = self.folder.read("journal.json")
        state = self.state
        state.stages[:] = [stage_from_data(s) for s in journal["stages"]]
        state.structure = journal["structure"]
        finished = int(journal["finished"])
        for number in range(finished):
            stage = state.stages[number]
            tensors, about = self.folder.load_state(f"end-{number}")
            if about["name"] != stage.name:
                raise CheckpointError(
                    f"end-{number} belongs to stage {about['name']!r}, not {stage.name!r}",
                    "the folder mixes two runs; start again in another --output",
                )
            state.ends[stage.name] = split_state(tensors)["network"]
            start, start_about = self.folder.load_state(f"start-{number}")
            state.datas[stage.name] = self._data(
                split_state(start).get("data"), start_about["extra_rows"]
            )
            self.steps, self.samples = about["steps"], about["samples"]
            prior = about["prior"]
            self.prior = None if prior is None else torch.tensor(prior, dtype=torch.float64)
            state.notes[:] = start_about["notes"]
            state.teachers = dict(start_about["teachers"])
        if finished:
            last = state.stages[finished - 1].name
            state.network.load_state_dict(state.ends[last])
            state.data = state.datas[last]
        return finished


def _pack(data: StageData) -> dict[str, Tensor]:
    packed = {"index": data.index, "labels": data.labels}
    return packed if data.weight is None else {**packed, "weight": data.weight}
