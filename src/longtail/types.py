"""The nouns that every room speaks.

Shape legend of the whole package: ``B`` batch, ``C`` classes, ``D`` features, ``E`` experts,
``V`` views, ``N`` training samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from longtail.errors import ConfigError, DataError, UnboundPartError
from longtail.labels import as_counts

__all__ = ["Batch", "ClassStats", "Context", "Outputs", "Part", "Progress", "Terms"]

EMPTY_POLICIES = ("error", "smooth", "ignore")
MANY_OVER, FEW_UNDER = 100, 20


@dataclass(frozen=True, eq=False)
class ClassStats:
    """Counts of the training data actually used, and all that follows from them.

    The zero-count policy lives here and nowhere else: ``error`` refuses a class without
    samples, ``smooth`` adds one to every count, ``ignore`` masks the class
    (``log_prior = -inf``, weight 0).

    Attributes:
        raw: counts as given, one entry a class, in class-id order (never sorted).
        names: class names, in the same order.
        on_empty: the zero-count policy.
        benchmark: a named benchmark keeps the 100/20 rule of shot groups whatever it gives.
    """

    raw: Tensor
    names: tuple[str, ...] = ()
    on_empty: str = "error"
    benchmark: bool = False

    def __init__(
        self,
        counts: Sequence[float] | Tensor,
        names: Sequence[str] = (),
        *,
        on_empty: str = "error",
        benchmark: bool = False,
    ) -> None:
        raw = as_counts(counts).detach().cpu().clone()
        if names and len(names) != len(raw):
            raise DataError(
                f"{len(names)} class names for {len(raw)} class counts", "give one name a class"
            )
        if on_empty not in EMPTY_POLICIES:
            raise ConfigError(
                f"there is no zero-count policy {on_empty!r}", f"choose one of {EMPTY_POLICIES}"
            )
        labels = tuple(names) or tuple(str(i) for i in range(len(raw)))
        empty = [labels[i] for i in torch.nonzero(raw == 0).flatten().tolist()]
        if empty and on_empty == "error":
            raise DataError(
                f"{len(empty)} classes have no training sample: {', '.join(empty[:8])}",
                "choose a policy: on_empty='smooth' (count + 1) or on_empty='ignore' (masked)",
            )
        for key, value in (("raw", raw), ("names", labels), ("on_empty", on_empty)):
            object.__setattr__(self, key, value)
        object.__setattr__(self, "benchmark", benchmark)

    @property
    def num_classes(self) -> int:
        """``C``."""
        return len(self.raw)

    @property
    def counts(self) -> Tensor:
        """``(C,)`` float64 counts under the zero-count policy."""
        smooth = self.on_empty == "smooth" and bool((self.raw == 0).any())
        return self.raw + 1 if smooth else self.raw

    @property
    def present(self) -> Tensor:
        """``(C,)`` bool: classes that are not masked."""
        return self.counts > 0

    @property
    def prior(self) -> Tensor:
        """``(C,)`` float64 ``n / sum n``."""
        return self.counts / self.counts.sum()

    @property
    def log_prior(self) -> Tensor:
        """``(C,)`` float64; ``-inf`` for a masked class."""
        return self.prior.log()

    @property
    def order(self) -> Tensor:
        """``(C,)`` class ids by descending count; ties by class id."""
        return torch.argsort(self.counts, descending=True, stable=True)

    @property
    def rank(self) -> Tensor:
        """``(C,)`` rank by descending count: 0 is the largest class."""
        out = torch.empty(self.num_classes, dtype=torch.int64)
        out[self.order] = torch.arange(self.num_classes)
        return out

    @property
    def imbalance_factor(self) -> float:
        """``max n / min n`` of the counts as given; ``inf`` with an empty class."""
        low = float(self.raw.min())
        return float(self.raw.max()) / low if low else float("inf")

    def groups(self) -> tuple[dict[str, Tensor], str]:
        """Class ids of ``many``, ``medium`` and ``few``, and the rule that cut them.

        Many is over 100 training samples, few under 20, medium between (both ends). Where that
        leaves many or few empty and the set is no named benchmark, the classes sorted by count
        are cut in thirds; classes with equal counts stay together.
        """
        n = self.raw
        shots = {
            "many": n > MANY_OVER,
            "medium": (n >= FEW_UNDER) & (n <= MANY_OVER),
            "few": n < FEW_UNDER,
        }
        rule = f"many > {MANY_OVER}, medium {FEW_UNDER}-{MANY_OVER}, few < {FEW_UNDER} training samples"
        if not self.benchmark and not (shots["many"].any() and shots["few"].any()):
            shots, rule = self._thirds(), "thirds of the classes sorted by training count"
        return {k: torch.nonzero(v).flatten() for k, v in shots.items()}, rule

    def _thirds(self) -> dict[str, Tensor]:
        n, c = self.raw, self.num_classes
        above = c - torch.searchsorted(n.sort().values, n, right=True)  # classes strictly larger
        first, second = round(c / 3), round(2 * c / 3)
        return {
            "many": above < first,
            "medium": (above >= first) & (above < second),
            "few": above >= second,
        }

    def subset(self, counts: Tensor, on_empty: str) -> ClassStats:
        """The same classes with other counts and policy."""
        return ClassStats(counts, self.names, on_empty=on_empty, benchmark=self.benchmark)


@dataclass
class Progress:
    """The only clock that any part reads: where in its stage a run stands.

    ``epoch``, ``step`` (within the epoch) and ``fraction`` (of the stage, in ``[0, 1]``) are 0-d
    tensors written in place, so that a part computes with them and never branches in Python.
    """

    epochs: int = 1
    steps: int = 1
    epoch: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.int64))
    step: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.int64))
    fraction: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float32))

    def set(self, epoch: int, step: int = 0) -> None:
        """Move the clock to a step (both 0-based)."""
        self.epoch.fill_(epoch)
        self.step.fill_(step)
        self.fraction.fill_((epoch * self.steps + step) / max(1, self.epochs * self.steps))

    def to(self, device: torch.device | str) -> Progress:
        """The same clock with its tensors on another device."""
        moved = (t.to(device) for t in (self.epoch, self.step, self.fraction))
        return Progress(self.epochs, self.steps, *moved)


class Part(nn.Module):
    """A plain torch object with hyper-parameters; class statistics arrive by :meth:`bind`.

    A subclass stores its hyper-parameters unchanged, ends its constructor with
    ``self.finish(class_counts)`` and, when it needs class statistics, computes its buffers in
    :meth:`on_bind`.
    """

    #: True where the part cannot work before it is bound.
    needs_stats = False

    def __init__(self) -> None:
        super().__init__()
        self.stats: ClassStats | None = None
        self.progress = Progress()

    def finish(self, class_counts: Sequence[float] | Tensor | ClassStats | None) -> None:
        """Bind at once when counts are given (for a loop of one's own)."""
        if class_counts is not None:
            known = isinstance(class_counts, ClassStats)
            self.bind(class_counts if known else ClassStats(class_counts))  # type: ignore[arg-type]

    def bind(self, stats: ClassStats) -> Self:
        """Take the statistics of the training data, and hand them to inner parts."""
        self.stats = stats
        for child in self.children():
            if isinstance(child, Part):
                child.bind(stats)
        self.on_bind(stats)
        return self

    def on_bind(self, stats: ClassStats) -> None:
        """Compute buffers from class statistics (nothing by default)."""

    def attach(self, progress: Progress) -> Self:
        """Read this clock from now on; inner parts too."""
        for module in self.modules():
            if isinstance(module, Part):
                module.progress = progress
        return self

    def set_epoch(self, epoch: int, epochs: int | None = None) -> None:
        """Move the clock by hand, in a loop of one's own (0-based epoch, of ``epochs``)."""
        if epochs is not None:
            self.progress.epochs = epochs
        self.progress.set(epoch)

    def bound(self) -> ClassStats:
        """The statistics, or the error that says they are missing."""
        if self.stats is None:
            raise UnboundPartError(type(self).__name__)
        return self.stats

    def extra_repr(self) -> str:
        hidden = {"training", "stats", "progress"}
        shown = {k: v for k, v in vars(self).items() if not k.startswith("_") and k not in hidden}
        return ", ".join(f"{k}={v!r}" for k, v in shown.items())


@dataclass
class Batch:
    """What one step sees.

    Attributes:
        views: ``V`` tensors ``(B, ...)``; images are float in ``[0, 1]``, tables float32 rows,
            texts int32 token ids.
        target: ``(B,)`` int64 labels, or multi-hot ``(B, C)``; -1 for an unlabelled row.
        index: ``(B,)`` position of each row in the stage's training data.
        sample_weight: ``(B,)`` or ``None``.
        mixed: ``[(target (B,), weight (B,))]`` when targets are mixed, else empty.
        extra: named further batches (``reverse``, ``unlabeled``, ``meta``).
        draws: ``(B, k)`` uniform random numbers of the plan for the objective's own use.
        step_draws: ``(k,)`` uniform random numbers shared by the whole step.
        noise: ``(B,)`` uniform random keys, one a row, for a loss that draws noise.
    """

    views: tuple[Tensor, ...]
    target: Tensor
    index: Tensor
    sample_weight: Tensor | None = None
    mixed: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    extra: dict[str, Batch] = field(default_factory=dict)
    draws: Tensor | None = None
    step_draws: Tensor | None = None
    noise: Tensor | None = None

    def __len__(self) -> int:
        return len(self.target)

    @property
    def targets(self) -> list[tuple[Tensor, Tensor | None]]:
        """Pairs of target and weight: the mixed ones, or the target alone."""
        return list(self.mixed) if self.mixed else [(self.target, None)]

    def split(self, parts: int) -> list[Batch]:
        """Contiguous micro-batches; sizes differ by at most one; extra batches are split alike."""
        if parts == 1:
            return [self]
        extras = {k: v.split(parts) for k, v in self.extra.items()}

        def cut(value: Tensor | None) -> list[Any]:
            return [None] * parts if value is None else list(torch.tensor_split(value, parts))

        views = list(zip(*(cut(v) for v in self.views), strict=True))
        mixed = [list(zip(cut(t), cut(w), strict=True)) for t, w in self.mixed]
        columns = zip(
            views, cut(self.target), cut(self.index), cut(self.sample_weight), cut(self.draws),
            cut(self.noise), strict=True,
        )  # fmt: skip
        return [
            Batch(v, t, i, w, [m[k] for m in mixed], {n: e[k] for n, e in extras.items()}, d,
                  self.step_draws, u)
            for k, (v, t, i, w, d, u) in enumerate(columns)
        ]  # fmt: skip

    def with_(self, **changes: Any) -> Batch:
        """A copy with fields replaced."""
        return replace(self, **changes)


@dataclass
class Outputs:
    """What a network says of a batch.

    Attributes:
        logits: ``(B', C)``; with experts their mean.
        features: ``(B', D)`` input of the head.
        expert_logits: ``(E, B', C)`` or ``None``.
        projection: ``(B', d)`` or ``None``.
        target: ``(B',)`` when rows were added inside the network.
        generated: ``(B',)`` bool, the added rows.
    """

    logits: Tensor
    features: Tensor
    expert_logits: Tensor | None = None
    projection: Tensor | None = None
    target: Tensor | None = None
    generated: Tensor | None = None

    def with_logits(self, logits: Tensor) -> Outputs:
        """The same outputs with other logits."""
        return replace(self, logits=logits)


@dataclass
class Terms:
    """What one batch asks of the model.

    Attributes:
        total: 0-d loss, already divided by ``weight``.
        weight: 0-d denominator of ``total`` (rows, or their summed weights): micro-batches and
            ranks are joined as ``sum(total * weight) / sum(weight)``.
        parts: named parts of the loss, for logs.
        commit: pushes to queues, twins, counters and banks; run once after a successful
            optimiser step. What belongs to the step and not to the micro-batch (following a
            twin) is one and the same object in the terms of all micro-batches.
        logits: ``(B, C)`` detached logits of real rows, for running training accuracy.
        target: ``(B,)`` labels of those rows.
    """

    total: Tensor
    weight: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)
    commit: Sequence[Callable[[], None]] = ()
    logits: Tensor | None = None
    target: Tensor | None = None


@dataclass(frozen=True)
class Context:
    """What an objective or a handover may see. Frozen; the objects in it do the work.

    Attributes:
        model: the network in training (``Outputs = model(x)``).
        stats: class statistics of this stage's training data.
        loss: the bound loss of the stage.
        data: the stage's training data (``inputs(positions) -> views``, ``labels``).
        progress: the clock.
        ranks: collective operations (``gather_rows``, ``mean``, ``broadcast``).
        update: how gradients become a step (``update(ctx, closure, batch) -> Terms``).
        optimizers: ``{"model": ..., private names: ...}``.
        teachers: earlier models, frozen, by name.
        validation: labelled validation rows (as ``data``), or ``None``.
        collect: ``collect(rows, field)`` -> one field of the outputs of all rows in eval mode,
            ``(N, ...)`` on the CPU, the passes shared among ranks.
        seed: of the run and stage; all random numbers derive from it.
        num_classes: ``C``.
    """

    model: Any
    stats: ClassStats
    loss: Any
    data: Any
    progress: Progress
    ranks: Any
    update: Any = None
    optimizers: Mapping[str, Any] = field(default_factory=dict)
    teachers: Mapping[str, Any] = field(default_factory=dict)
    validation: Any = None
    collect: Callable[..., Tensor] | None = None
    seed: int = 0
    autocast: Callable[[], Any] | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def num_classes(self) -> int:
        """``C``."""
        return self.stats.num_classes
