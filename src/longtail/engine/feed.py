"""What a stage trains on, the plan of an epoch, and the batches that follow from it.

The plan holds everything random in an epoch: the order of every stream and the uniform numbers
of every augmentation. It is a pure function of (seed, stage, epoch), so any step can be made
again, on any number of ranks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtail.engine.ranks import Ranks
from longtail.functional.random import singles, uniforms
from longtail.samplers.base import Sampler
from longtail.types import Batch, ClassStats

__all__ = ["Feed", "JoinedStore", "Plan", "StageData", "StreamSource", "pass_rows", "to_float"]


def pass_rows(shape: Sequence[int], device: torch.device | str) -> int:
    """Rows of a batch that is only looked at: 512, or 64 images on a CPU.

    Larger batches of images leave the caches of a processor and take up to 1.7 times as long.
    """
    return 64 if len(shape) == 3 and torch.device(device).type == "cpu" else 512


def to_float(x: Tensor) -> Tensor:
    """Stored rows as the network takes them: images in ``[0, 1]``, the rest unchanged."""
    return x.float().div_(255.0) if x.dtype == torch.uint8 else x


@dataclass(frozen=True)
class JoinedStore:
    """Stores one after the other, as one."""

    stores: tuple[Any, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.stores[0].shape)

    def __len__(self) -> int:
        return sum(len(s) for s in self.stores)

    def to(self, device: torch.device | str) -> JoinedStore:
        """The same rows on another device."""
        return JoinedStore(tuple(s.to(device) for s in self.stores))

    def fetch(self, index: Tensor) -> Tensor:
        """Rows at positions that run over all stores."""
        out: Tensor | None = None
        first = 0
        for store in self.stores:
            mine = torch.nonzero((index >= first) & (index < first + len(store))).flatten()
            if len(mine):
                rows = store.fetch(index[mine] - first)
                if out is None:
                    out = rows.new_empty((len(index), *rows.shape[1:]))
                out[mine.to(out.device)] = rows
            first += len(store)
        return self.stores[0].fetch(index) if out is None else out

    def batches(self, indices: list[Tensor], workers: int = 0) -> Iterator[Tensor]:
        """Rows of several index lists, in order."""
        return (self.fetch(i) for i in indices)


@dataclass
class StageData:
    """Rows of a store with their labels: what a stage trains on.

    Attributes:
        store: where the inputs lie.
        index: ``(N,)`` positions in the store.
        labels: ``(N,)`` int64 class ids.
        weight: ``(N,)`` sample weights or ``None``.
        extra_rows: rows that count towards the length of an epoch but are not drawn
            (unlabelled rows of self-training).
        variants: forms of each row in the store, one after the other's ``N`` rows.
    """

    store: Any
    index: Tensor
    labels: Tensor
    weight: Tensor | None = None
    extra_rows: int = 0
    variants: int = 1

    def __len__(self) -> int:
        return len(self.index)

    def rows(self, positions: Tensor) -> Tensor:
        """Inputs at positions of this data, as the network takes them, not augmented."""
        return to_float(self.store.fetch(self.index[positions.to(self.index.device)]))

    def take(self, positions: Tensor) -> StageData:
        """A part of the rows."""
        weight = None if self.weight is None else self.weight[positions]
        return StageData(self.store, self.index[positions], self.labels[positions], weight)

    def counts(self, num_classes: int) -> Tensor:
        """``(C,)`` rows a class."""
        return torch.bincount(self.labels.cpu(), minlength=num_classes).double()

    def mean_weights(self, num_classes: int) -> Tensor | None:
        """``(C,)`` mean sample weight of each class (1 without rows), or ``None`` without weights."""
        if self.weight is None:
            return None
        counts = self.counts(num_classes)
        sums = torch.bincount(self.labels.cpu(), self.weight.cpu().double(), num_classes)
        return torch.where(counts > 0, sums / counts.clamp(min=1), 1.0)

    def stats(self, like: ClassStats) -> ClassStats:
        """Class statistics of these rows, under the policy of ``like``."""
        return like.subset(self.counts(like.num_classes), like.on_empty)

    def passes(
        self, device: torch.device | str, ranks: Ranks | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """``(inputs, positions)`` over all rows in order, or this rank's contiguous share, in
        batches that suit the device they will be sent to."""
        share = (ranks or Ranks()).share(len(self))
        size = pass_rows(self.store.shape, device)
        for chunk in torch.arange(share.start, share.stop).split(size):
            yield self.rows(chunk), chunk


@dataclass
class StreamSource:
    """A sampler over some data."""

    data: StageData
    sampler: Any

    def order(self, epoch: int, length: int) -> Tensor:
        """``length`` draws of an epoch; a sampler shorter than that walks on."""
        n = len(self.data)
        first, last = epoch * length // n, -(-(epoch + 1) * length // n)
        draws = torch.cat([self.sampler.draw(e) for e in range(first, last)])
        start = epoch * length - first * n
        return draws[start : start + length]

    def check(self, order: Tensor) -> None:
        """Compare the classes of epoch 0's rows with what the sampler's rule promises.

        Raises:
            DataError: they differ by more than chance could.
        """
        if isinstance(self.sampler, Sampler):
            labels = self.data.labels.cpu()[order]
            for number, part in enumerate(labels.split(len(self.data))):
                seen = torch.bincount(part, minlength=len(self.sampler.counts))
                self.sampler.check_draws(seen.numpy(), number)


@dataclass
class Plan:
    """One epoch, decided: the order of each stream and its random tables.

    Attributes:
        bounds: row at which each step starts, and the number of rows at the end.
        orders: stream -> ``(rows,)`` positions in its data.
        tables: random numbers a row.
        step_table: ``(steps, k)`` random numbers a step.
    """

    bounds: list[int]
    orders: dict[str, Tensor]
    tables: dict[str, Tensor]
    step_table: Tensor

    @property
    def steps(self) -> int:
        """Steps of the epoch."""
        return len(self.bounds) - 1

    def span(self, step: int) -> tuple[int, int]:
        """First row of a step and the row after its last."""
        return self.bounds[step], self.bounds[step + 1]


@dataclass
class Drawn:
    """A stream's rows of an epoch: everything but the inputs, in the order they are drawn."""

    at: Tensor
    labels: Tensor
    weight: Tensor | None
    store: Tensor

    @staticmethod
    def of(plan: Plan, name: str, data: StageData, device: torch.device) -> Drawn:
        """Look the rows up."""
        order = plan.orders[name]
        there = order.to(data.index.device)
        store, form = data.index[there], plan.tables.get(f"{name}/variant")
        if form is not None:
            store = store + (form[:, 0] * data.variants).to(store.device, torch.int64) * len(data)
        own = order.to(data.labels.device)
        weight = None if data.weight is None else data.weight[own].to(device)
        return Drawn(order.to(device), data.labels[own].to(device), weight, store)


def step_sizes(rows: int, batch: int) -> list[int]:
    """``ceil(rows / batch)`` batch sizes that differ by at most one and add up to ``rows``."""
    steps = -(-rows // batch)
    small, more = divmod(rows, steps)
    return [small + (i < more) for i in range(steps)]


@dataclass
class Feed:
    """Makes the batches of a stage.

    Attributes:
        main: the stage's own stream.
        batch_size: rows of a step over all ranks.
        seed: of the run; ``stage`` numbers the stage: together they key all random numbers.
        views: one bound view transform (or ``None``) a view.
        mix: bound batch transforms.
        draws: random numbers a row for the objective; ``step_draws`` a step.
        noisy: whether the stage's loss draws noise.
    """

    main: StreamSource
    batch_size: int
    seed: int
    stage: int
    device: torch.device
    ranks: Ranks
    views: tuple[Any, ...] = (None,)
    mix: tuple[Any, ...] = ()
    draws: int = 0
    step_draws: int = 0
    noisy: bool = False
    accumulate: int = 1
    workers: int = 0
    channels_last: bool = False
    streams: Mapping[str, StreamSource] = field(default_factory=dict)
    renew: Callable[[], tuple[StreamSource, Mapping[str, StreamSource]]] | None = None

    @property
    def rows(self) -> int:
        """Rows of an epoch: ``N``, unlabelled rows of self-training counted."""
        return len(self.main.data) + self.main.data.extra_rows

    @property
    def steps(self) -> int:
        """``ceil(N / B)`` steps an epoch."""
        return -(-self.rows // self.batch_size)

    def plan(self, epoch: int) -> Plan:
        """Decide an epoch, from the streams as the objective wants them now."""
        if self.renew is not None:
            self.main, self.streams = self.renew()
        sizes = step_sizes(self.rows, self.batch_size)
        total = self.rows
        sources = {"": self.main, **self.streams}
        orders = {name: s.order(epoch, total) for name, s in sources.items()}
        if epoch == 0:
            for name, source in sources.items():
                source.check(orders[name])
        tables: dict[str, Tensor] = {}
        for name in sources:
            for v, view in enumerate(self._views(name)):
                if view is not None and view.draws:
                    tables[f"{name}/view{v}"] = self._table(
                        epoch, f"{name}/view{v}", total, view.draws
                    )
            if sources[name].data.variants > 1:
                tables[f"{name}/variant"] = self._table(epoch, f"{name}/variant", total, 1)
        for m, mixer in enumerate(self.mix):
            tables[f"mix{m}"] = self._table(epoch, f"mix{m}", total, mixer.draws)
        if self.draws:
            tables["draws"] = self._table(epoch, "draws", total, self.draws)
        if self.noisy:
            tables["noise"] = self._table(epoch, "noise", total, 1)
        width = self.step_draws + sum(m.step_draws for m in self.mix)
        steps = self._numbers(epoch, "steps", len(sizes), width)
        bounds = [0, *itertools.accumulate(sizes)]
        return Plan(bounds, orders, tables, torch.from_numpy(steps))

    def _views(self, stream: str) -> tuple[Any, ...]:
        return self.views if not stream else self.views[:1]

    def _numbers(self, epoch: int, name: str, rows: int, width: int) -> np.ndarray[Any, Any]:
        return uniforms(self.seed, self.stage, epoch, name, n=rows * width).reshape(rows, width)

    def _table(self, epoch: int, name: str, rows: int, width: int) -> Tensor:
        numbers = singles(self._numbers(epoch, name, rows, width))
        return torch.from_numpy(numbers).to(self.device)

    def batches(self, plan: Plan, start: int = 0) -> Iterator[Batch]:
        """This rank's batches of the planned epoch, from step ``start`` on."""
        spans = [self._share(*plan.span(s)) for s in range(start, plan.steps)]
        sources = {"": self.main, **self.streams}
        drawn = {n: Drawn.of(plan, n, s.data, self.device) for n, s in sources.items()}
        loaded = {
            name: source.data.store.batches(
                [drawn[name].store[a:b] for a, b in spans], self.workers
            )
            for name, source in sources.items()
        }
        draws, noise = plan.tables.get("draws"), plan.tables.get("noise")
        for step, (a, b) in enumerate(spans, start):
            extra = {n: self._one(plan, n, drawn[n], next(loaded[n]), a, b) for n in self.streams}
            batch = self._one(plan, "", drawn[""], next(loaded[""]), a, b)
            numbers = plan.step_table[step]
            batch.extra, batch.step_draws = extra, numbers[: self.step_draws]
            batch.draws = None if draws is None else draws[a:b]
            batch.noise = None if noise is None else noise[a:b, 0]
            yield self._mixed(plan, batch, numbers[self.step_draws :], a, b)

    def _share(self, start: int, stop: int) -> tuple[int, int]:
        share = self.ranks.share(stop - start)
        return start + share.start, start + share.stop

    def _one(self, plan: Plan, name: str, drawn: Drawn, x: Tensor, a: int, b: int) -> Batch:
        x = to_float(x.to(self.device, non_blocking=True))
        views = []
        for v, view in enumerate(self._views(name)):
            if view is not None:
                numbers = plan.tables.get(f"{name}/view{v}")
                view = view(x, x.new_zeros((len(x), 0)) if numbers is None else numbers[a:b])
            views.append(self._layout(x if view is None else view))
        weight = None if drawn.weight is None else drawn.weight[a:b]
        return Batch(tuple(views), drawn.labels[a:b], drawn.at[a:b], weight)

    def _layout(self, x: Tensor) -> Tensor:
        if self.channels_last and x.ndim == 4:
            return x.contiguous(memory_format=torch.channels_last)
        return x

    def _mixed(self, plan: Plan, batch: Batch, numbers: Tensor, a: int, b: int) -> Batch:
        """Mix within each micro-batch, so that ranks and micro-batches see the same rows."""
        for m, mixer in enumerate(self.mix):
            table = plan.tables[f"mix{m}"][a:b]
            mine, numbers = numbers[: mixer.step_draws], numbers[mixer.step_draws :]
            micros = zip(
                batch.split(self.accumulate), table.tensor_split(self.accumulate), strict=True
            )
            batch = _concat([mixer(micro, u, mine) for micro, u in micros])
        return batch


def _concat(micros: list[Batch]) -> Batch:
    if len(micros) == 1:
        return micros[0]
    first = micros[0]

    def cat(values: list[Any]) -> Any:
        return None if values[0] is None else torch.cat(values)

    return first.with_(
        views=tuple(torch.cat([m.views[v] for m in micros]) for v in range(len(first.views))),
        target=cat([m.target for m in micros]),
        index=cat([m.index for m in micros]),
        sample_weight=cat([m.sample_weight for m in micros]),
        draws=cat([m.draws for m in micros]),
        noise=cat([m.noise for m in micros]),
        mixed=[
            (torch.cat([m.mixed[t][0] for m in micros]), torch.cat([m.mixed[t][1] for m in micros]))
            for t in range(len(first.mixed))
        ],
        extra={k: _concat([m.extra[k] for m in micros]) for k in first.extra},
    )
