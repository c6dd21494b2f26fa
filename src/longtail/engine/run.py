"""A trained run: predicts, is evaluated, and is read back from its folder."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from longtail.engine.checkpoint import (
    join_state,
    save_tensors,
    write_atomic,
)
from longtail.engine.feed import pass_rows, to_float
from longtail.engine.folder import RunFolder
from longtail.engine.launch import threads_for
from longtail.errors import ConfigError, DataError
from longtail.metrics import Accumulator, intervals
from longtail.models import InputSpec
from longtail.posthoc.aggregation import aggregate
from longtail.posthoc.estimate import PriorEstimate, estimate_target_prior
from longtail.posthoc.measured import audit_prior
from longtail.posthoc.prior import read_target_prior, shift_offset
from longtail.types import ClassStats, Outputs

__all__ = ["Predictions", "Run", "chunks"]

#: rows times classes up to which an evaluation measures the prior too
AUDITED_CELLS = 1 << 24


@dataclass
class Predictions:
    """What a run said of labelled rows, in their order."""

    ids: list[str]
    target: np.ndarray[Any, Any]
    prediction: np.ndarray[Any, Any]
    confidence: np.ndarray[Any, Any]
    target_probability: np.ndarray[Any, Any]

    def save(self, path: Path) -> None:
        """Write ``predictions.npz``, whole or not at all."""
        held = io.BytesIO()
        columns = {**vars(self), "ids": np.array(self.ids, str)}
        np.savez_compressed(held, allow_pickle=False, **columns)
        write_atomic(path, held.getvalue())


@dataclass
class Run:
    """A trained model with all that ``predict`` needs.

    Attributes:
        info: what ``run.json`` says: recipe, identity, classes, inputs, counts, versions.
        network: in eval mode.
        adjusters: fitted parts applied to the outputs, in order.
        effective: ``(C,)`` prior that the adjusted logits answer to, or ``None`` (unknown).
        target_prior: what :meth:`aim` was told (``as_trained``, ``natural``, ``uniform``, ...).
        target: ``(C,)`` that prior in numbers, or ``None`` for ``as_trained``.
        expert_weights: weights of the experts after an explicit adaptation, or ``None``.
        metrics: what ``metrics.json`` says.
        folder: where it lies, or ``None``.
    """

    info: dict[str, Any]
    network: Any
    adjusters: list[Any]
    effective: Tensor | None
    device: torch.device
    target_prior: str = "as_trained"
    target: Tensor | None = None
    expert_weights: Tensor | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    last_predictions: Any = None

    @property
    def class_names(self) -> list[str]:
        """Names in class-id order."""
        return list(self.info["class_names"])

    @property
    def stats(self) -> ClassStats:
        """Counts of the training data used."""
        info = self.info
        return ClassStats(
            info["counts"],
            info["class_names"],
            on_empty=info["on_empty"],
            benchmark=info["benchmark"],
        )

    @torch.no_grad()
    def outputs(self, x: Tensor) -> Outputs:
        """The network's raw outputs for stored rows (uint8 images, float tables, int tokens).

        On as many threads as in training, which decide how sums are split.
        """
        x = to_float(x.to(self.device))
        if self.info["channels_last"] and x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        self.network.eval()
        row = InputSpec.from_data(self.info["inputs"]).shape
        with threads_for(self.info["batch_size"] * math.prod(row)):
            result: Outputs = self.network(x)
        return result

    def logits_of(self, outputs: Outputs) -> Tensor:
        """Adjusted logits ``(B, C)`` under the target prior."""
        logits = self._adjusted(outputs)
        return logits + self.prior_shift().to(logits.device)

    def _adjusted(self, outputs: Outputs) -> Tensor:
        if self.expert_weights is not None and outputs.expert_logits is not None:
            weights = self.expert_weights.to(outputs.expert_logits)
            outputs.logits = torch.einsum("e,ebc->bc", weights, outputs.expert_logits)
        for adjuster in self.adjusters:
            outputs.logits = adjuster.transform(outputs)
        return outputs.logits.float()

    def prior_shift(self) -> Tensor:
        """``(C,)`` added to the logits: ``log target - log effective``."""
        if self.target is None or self.effective is None:
            return torch.zeros(self.stats.num_classes)
        return shift_offset(self.effective, self.target).float()

    def require_known_prior(self) -> Tensor:
        """The prior that the run answers to.

        Raises:
            ConfigError: no formula gives it.
        """
        if self.effective is None:
            raise ConfigError(
                f"the prior that recipe {self.info['recipe']['name']!r} answers to is not known",
                "keep --target-prior as_trained",
            )
        return self.effective

    def aim(self, target_prior: Any, *, force: bool = False) -> Self:
        """Answer to this target prior from now on; returns ``self``.

        Args:
            target_prior: a form of :func:`longtail.posthoc.read_target_prior`, or a
                :class:`longtail.posthoc.PriorEstimate`.
            force: use an estimate that speaks against itself.

        Raises:
            ConfigError: the prior that the run answers to is not known.
            DataError: an estimate is refused, or numbers are no prior.
        """
        if isinstance(target_prior, str) and target_prior == "as_trained":
            self.target_prior, self.target = target_prior, None
            return self
        effective = self.require_known_prior()
        said = str(target_prior) if isinstance(target_prior, str | Path) else "given"
        if isinstance(target_prior, PriorEstimate):
            said = f"estimate ({target_prior.method}, {target_prior.n_unlabelled} rows)"
            least = 0.1 / target_prior.n_unlabelled  # rare is not impossible
            target_prior = target_prior.usable(force=force).clamp_min(least)
            target_prior = target_prior / target_prior.sum()
        stats = self.stats
        self.target = read_target_prior(
            target_prior, natural=stats.prior, effective=effective, names=stats.names
        )
        self.target_prior = said
        return self

    def class_mix(
        self, rows: Tensor, validation: Any, *, method: str = "em", seed: int = 0
    ) -> PriorEstimate:
        """Estimate the class mix of unlabelled rows, to be given to :meth:`aim`.

        Args:
            rows: ``(U, C)`` logits of :meth:`plain_logits`.
            validation: labelled rows that were not trained on.
            method: ``em``, ``bbse`` or ``bbse_hard``.
            seed: of the resamples of the interval.

        Raises:
            ConfigError: the prior that the run answers to is not known.
            DataError: there are no labelled rows.
        """
        effective = self.require_known_prior()
        if validation is None or not len(validation.labels):
            raise DataError(
                "the run has no labelled validation rows to estimate a prior with",
                "train with --validation 0.1",
            )
        known = torch.cat([self.plain_logits(x) for x, _ in chunks(validation, self.device)])
        return estimate_target_prior(
            rows, known, validation.labels, effective=effective, reference=self.stats.prior,
            method=method, seed=seed, names=self.class_names,
        )  # fmt: skip

    def plain_logits(self, x: Tensor) -> Tensor:
        """``(B, C)`` adjusted logits of stored rows under the run's own prior, on the CPU."""
        return self._adjusted(self.outputs(x)).cpu()

    def predict_logits(self, x: Tensor) -> Tensor:
        """``(N, C)`` logits of stored rows, on the CPU."""
        size = pass_rows(x.shape[1:], self.device)
        return torch.cat([self.logits_of(self.outputs(c)).cpu() for c in x.split(size)])

    def predict_proba(self, x: Tensor) -> Tensor:
        """``(N, C)`` probabilities; their argmax is the prediction."""
        return self.predict_logits(x).softmax(-1)

    @property
    def column_names(self) -> tuple[str, ...]:
        """What :meth:`answers` says of a row beside its probabilities."""
        head = self.network.decider
        return () if head is None else tuple(head.column_names)

    @torch.no_grad()
    def answers(self, x: Tensor) -> tuple[Tensor, dict[str, list[str]]]:
        """``(N, C)`` probabilities, and the columns of the network's own (taxonomy node ...)."""
        parts: list[Tensor] = []
        columns: dict[str, list[str]] = {name: [] for name in self.column_names}
        for chunk in x.split(pass_rows(x.shape[1:], self.device)):
            outputs = self.outputs(chunk)
            p = self.logits_of(outputs).softmax(-1)
            if columns:
                said = self.network.decider.columns(outputs.features, p.argmax(1))
                for name, values in said.items():
                    columns[name] += values
            parts.append(p.cpu())
        return torch.cat(parts), columns

    def refuse_below(self, threshold: float) -> None:
        """Ask another confidence of the decisions of a network that can refuse.

        Raises:
            ConfigError: the network decides on a class always, or the number does not fit.
        """
        head = self.network.decider
        if head is None:
            raise ConfigError(
                f"recipe {self.info['recipe']['name']!r} decides on a class always",
                "leave the threshold out, or train a recipe with a taxonomy",
            )
        head.refuse_below(threshold)

    @torch.no_grad()
    def evaluate(self, split: Any, *, seed: int = 0) -> tuple[dict[str, Any], Predictions]:
        """Metrics with intervals, and the predictions they were counted from.

        A row without a label of the training classes has target -1 and counts as missed nowhere:
        the caller drops it first.
        """
        stats = self.stats
        counter = Accumulator(stats.num_classes, device=self.device)
        rows: list[tuple[Tensor, ...]] = []
        beside: list[dict[str, Tensor]] = []
        own: list[Tensor] = []
        head, shift = self.network.decider, self.prior_shift().to(self.device)
        audited = len(split.labels) * stats.num_classes <= AUDITED_CELLS
        for x, target in chunks(split, self.device):
            outputs = self.outputs(x)
            plain = self._adjusted(outputs)
            logits = plain + shift
            target = target.to(logits.device)
            counter.update(logits, target)
            p = logits.softmax(-1)
            if audited:
                own.append((p if self.target is None else plain.softmax(-1)).cpu())
            best = p.max(-1)
            rows.append((target, best.indices, best.values, p.gather(1, target[:, None])[:, 0]))
            if head is not None:
                beside.append(head.measures(outputs.features, best.indices, target))
        columns = [torch.cat(c).cpu().numpy() for c in zip(*rows, strict=True)]
        said = Predictions([str(i) for i in split.ids], *columns)
        result = counter.compute(stats)
        result["intervals"] = intervals(
            said.target, said.prediction == said.target, stats, seed=seed
        )
        if own:
            result["measured_prior"] = self._measured(torch.cat(own), said)
        if beside and beside[0]:
            named = {k: torch.cat([b[k] for b in beside]) for k in beside[0]}
            result["decisions"] = {k: float(v.mean()) for k, v in named.items()}
        return result, said

    def _measured(self, p: Tensor, said: Predictions) -> dict[str, Any]:
        """The prior that the adjusted logits answer to on these rows, or why it is not known."""
        target = torch.from_numpy(said.target)
        try:
            found = audit_prior(p, target, self.effective, names=self.class_names)
        except DataError as error:
            return {"skipped": error.what}
        return found.to_data()

    def adapt(
        self, split: Any, augment: Any, *, seed: int = 0, validation: Any = None
    ) -> list[str]:
        """Weigh the experts by how stable they are on unlabelled rows (explicit, never default).

        Reference: Zhang et al., NeurIPS 2022.
        """
        if self.outputs(split.store.fetch(torch.arange(1))).expert_logits is None:
            raise ConfigError(
                f"recipe {self.info['recipe']['name']!r} has no experts to weigh",
                "leave --adapt out, or train a recipe with experts such as sade",
            )
        views = [self._expert_views(split, augment, seed, v) for v in (1, 2)]
        known = None
        if validation is not None:
            known = (self._expert_views(validation, None, seed, 0), validation.labels)
        found = aggregate(
            views[0],
            views[1],
            seed=seed,
            validation=known,
            effective_prior=self.stats.prior.gt(0).double(),
        )
        self.expert_weights = found.weights
        weights = ", ".join(f"{w:.3f}" for w in found.weights.tolist())
        return [f"experts weighed {weights}; adaptation ended {found.stopped}", *found.notes]

    def _expert_views(self, split: Any, augment: Any, seed: int, view: int) -> Tensor:
        from longtail.functional.random import singles, uniforms

        out, start = [], 0
        for x, _ in chunks(split, self.device):
            x = to_float(x.to(self.device))
            if augment is not None:
                numbers = uniforms(seed, "adapt", view, start, n=len(x) * augment.draws)
                table = singles(numbers.reshape(len(x), augment.draws))
                u = torch.from_numpy(table).to(self.device)
                x = augment(x, u)
            start += len(x)
            out.append(self.outputs(x).expert_logits.cpu())  # type: ignore[union-attr]
        return torch.cat(out, dim=1)

    def latency(self, split: Any, seconds: float = 0.2) -> dict[str, float]:
        """Milliseconds for one row and for a row of 32, median of repeated runs."""
        out = {}
        for size in (1, 32):
            x = split.store.fetch(torch.arange(len(split.labels))[:size])
            took: list[float] = []
            end = time.perf_counter() + seconds / 2
            while time.perf_counter() < end or len(took) < 3:
                begin = time.perf_counter()
                self.logits_of(self.outputs(x)).cpu()
                took.append(time.perf_counter() - begin)
            out[f"batch_{size}"] = 1000 * sorted(took)[len(took) // 2] / max(1, len(x))
        return out

    def save(self, folder: RunFolder) -> None:
        """Write ``run.json`` and ``model.safetensors``."""
        parts = {"network": self.network.state_dict()}
        for number, adjuster in enumerate(self.adjusters):
            parts[f"adjuster:{number}"] = adjuster.state_dict()
        effective = None if self.effective is None else [float(v) for v in self.effective]
        numbers = None if self.target is None else [float(v) for v in self.target]
        self.info = {
            **self.info,
            "effective_prior": effective,
            "target_prior": self.target_prior,
            "target": numbers,
        }
        save_tensors(
            folder.path / "model.safetensors",
            join_state(**parts),
            {"recipe": self.info["recipe"]["name"]},
        )
        folder.save("run.json", self.info)


def chunks(split: Any, device: torch.device | str) -> Iterator[tuple[Tensor, Tensor]]:
    """``(inputs, labels)`` of a split in order, in batches that suit the device."""
    index = torch.arange(len(split.labels)).split(pass_rows(split.store.shape, device))
    for x, rows in zip(split.store.batches(list(index), 0), index, strict=True):
        yield x, split.labels[rows.to(split.labels.device)]
