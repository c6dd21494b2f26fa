"""Weights of experts learned on unlabelled test rows, with a guard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from longtail.checks import check_whole, is_finite, is_whole
from longtail.errors import ConfigError, DataError
from longtail.posthoc.checks import check_labels, check_rows, vector
from longtail.posthoc.em import estimate_prior
from longtail.posthoc.prior import shift_offset
from longtail.posthoc.temperature import balanced_temperature

__all__ = ["Aggregation", "aggregate", "combine", "stability"]

LOWEST = 0.05  #: a weight under this stops the adaptation
UNCHECKED = "no validation data: the learned weights were not checked against uniform ones"


@dataclass(frozen=True, eq=False)
class Aggregation:
    """What test-time aggregation came to.

    Attributes:
        weights: ``(E,)`` float64 weights to use; they sum to one.
        stopped: why adaptation ended.
        notes: sentences for the reader.
        discarded: the learned weights lost to uniform ones on validation data; ``weights`` are
            uniform.
        learned: ``(E,)`` weights as learned.
        prior: ``(C,)`` estimated test prior, ``None`` without validation data.
    """

    weights: Tensor
    stopped: str
    notes: tuple[str, ...]
    discarded: bool
    learned: Tensor
    prior: Tensor | None = None


def combine(expert_logits: Tensor, weights: Tensor) -> Tensor:
    """``sum_e w_e z_e``: ``(E, N, C)`` and ``(E,)`` to ``(N, C)``."""
    if expert_logits.ndim != 3 or weights.shape != expert_logits.shape[:1]:
        raise DataError(
            f"weights {tuple(weights.shape)} do not fit expert logits {tuple(expert_logits.shape)}",
            "give one weight for each expert, and logits (E, N, C)",
        )
    return torch.einsum("e,enc->nc", weights.to(expert_logits), expert_logits)


def stability(raw: Tensor, view1: Tensor, view2: Tensor) -> Tensor:
    """0-d mean cosine of the two views' predictions under weights ``softmax(raw)``.

    Args:
        raw: ``(E,)`` unnormalised weights.
        view1: ``(E, N, C)`` expert logits of one augmentation.
        view2: the same rows under another.
    """
    w = raw.softmax(0)
    p1, p2 = (torch.einsum("e,enc->nc", w, v).softmax(-1) for v in (view1, view2))
    return functional.cosine_similarity(p1, p2, dim=-1).mean()


def aggregate(
    view1: Tensor,
    view2: Tensor,
    *,
    seed: int,
    epochs: int = 5,
    batch_size: int = 128,
    lr: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    validation: tuple[Tensor, Tensor] | None = None,
    effective_prior: Tensor | None = None,
    reference_prior: Tensor | None = None,
) -> Aggregation:
    """Weigh experts by how stable their joint prediction is over two views of unlabelled rows.

    ``E`` numbers start equal and climb the mean cosine of the two views' predictions by Nesterov
    SGD. Adaptation stops after an epoch in which a weight, rounded to two decimals, is under
    0.05. With labelled validation data the learned weights are kept only if they hold there: on
    a copy re-sampled to the estimated test prior they must not score below uniform weights by
    more than one standard error of the paired difference. That prior is estimated by expectation
    maximisation from the test predictions of uniform weights, in the uniform frame, at a
    temperature fitted on the validation rows with every class weighing the same.

    Args:
        view1: ``(E, N, C)`` cached expert logits of the test rows, ``E >= 2``.
        view2: the same rows under another augmentation.
        seed: of the order of rows and of the re-sampling.
        epochs: passes over the rows.
        batch_size: rows a step.
        lr: step size.
        momentum: of Nesterov SGD.
        weight_decay: on the unnormalised weights, as published.
        validation: expert logits ``(E, M, C)`` and labels ``(M,)``; rows of masked classes are
            left out, and a note says how many.
        effective_prior: ``(C,)`` prior that the mean of the experts answers to, 0 for a masked
            class; ``None``: uniform, as for experts trained to the training prior, to uniform
            and to reversed.
        reference_prior: ``(C,)`` test prior expected beforehand; ``None``: uniform.

    Raises:
        ConfigError: fewer than two experts, or settings out of range.
        DataError: views of different shape, or logits that are not finite.

    Reference: Zhang et al., NeurIPS 2022 (SADE); the guard is this library's own.
    """
    v1, v2 = _checked(view1, view2)
    check_whole("seed", seed, low=0)
    pace = _Pace(epochs, batch_size, lr, momentum, weight_decay)
    learned, stopped = _learn(v1, v2, seed, pace)
    if validation is None:
        return Aggregation(learned, stopped, (UNCHECKED,), False, learned)
    return _guard(learned, stopped, (v1, v2), validation, seed, effective_prior, reference_prior)


@dataclass(frozen=True)
class _Pace:
    """Settings of the climb."""

    epochs: int
    batch_size: int
    lr: float
    momentum: float
    weight_decay: float

    def __post_init__(self) -> None:
        whole = is_whole(self.epochs, self.batch_size)
        known = whole and is_finite(self.lr, self.momentum, self.weight_decay)
        fits = known and min(self.epochs, self.batch_size) >= 1 and self.lr > 0
        if not fits or not 0 <= self.momentum < 1 or self.weight_decay < 0:
            raise ConfigError(
                f"adaptation cannot run with epochs={self.epochs}, batch_size={self.batch_size}, "
                f"lr={self.lr}, momentum={self.momentum}, weight_decay={self.weight_decay}",
                "give positive numbers, and a momentum in [0, 1)",
            )


def _learn(v1: Tensor, v2: Tensor, seed: int, pace: _Pace) -> tuple[Tensor, str]:
    """``(E,)`` weights after climbing the stability, and why the climb ended."""
    raw = torch.full((len(v1),), 1 / len(v1), dtype=torch.float64, requires_grad=True)
    velocity = torch.zeros_like(raw)
    stopped = f"after {pace.epochs} epochs"
    for epoch in range(pace.epochs):
        order = torch.from_numpy(_generator(seed, 1, epoch).permutation(v1.shape[1]))
        for first in range(0, len(order), pace.batch_size):
            rows = order[first : first + pace.batch_size]
            loss = -stability(raw, v1[:, rows].double(), v2[:, rows].double())
            (slope,) = torch.autograd.grad(loss, [raw])
            with torch.no_grad():  # SGD with Nesterov's momentum
                slope = slope + pace.weight_decay * raw
                velocity = pace.momentum * velocity + slope
                raw -= pace.lr * (slope + pace.momentum * velocity)
        if bool(((raw.detach().softmax(0) * 100).round() / 100 < LOWEST).any()):
            stopped = f"a weight fell under {LOWEST} in epoch {epoch + 1} of {pace.epochs}"
            break
    return raw.detach().softmax(0), stopped


def _checked(view1: Tensor, view2: Tensor) -> tuple[Tensor, Tensor]:
    if view1.ndim != 3 or view1.shape != view2.shape or not view1.shape[1]:
        raise DataError(
            f"the views have shapes {tuple(view1.shape)} and {tuple(view2.shape)}",
            "give expert logits (E, N, C) of the same rows twice",
        )
    if len(view1) < 2:
        raise ConfigError(
            "one expert has nothing to weigh", "use a recipe with two or more experts"
        )
    out = view1.detach().cpu(), view2.detach().cpu()
    bad = sum(int((~torch.isfinite(v)).any(-1).any(0).sum()) for v in out)
    if bad:
        raise DataError(f"the expert logits of {bad} rows are not finite", "check the model")
    return out


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([0xA66, *key])))


def _guard(
    learned: Tensor,
    stopped: str,
    views: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    seed: int,
    effective: Tensor | None,
    reference: Tensor | None,
) -> Aggregation:
    """Keep the learned weights unless validation data speak against them."""
    experts, _, c = views[0].shape
    source = torch.ones(c) if effective is None else vector("effective_prior", effective, c)
    live = source > 0
    logits, target, notes = _labelled(validation, experts, live)
    if not len(target):
        return Aggregation(learned, stopped, (*notes, UNCHECKED), False, learned)
    even = live.double() / live.sum()
    to_even = shift_offset(even if effective is None else source, even)
    heat = balanced_temperature(logits.mean(0) + to_even, target)
    frame = (views[0].double().mean(0) + views[1].double().mean(0)) / 2 + to_even
    if reference is not None:
        reference = torch.where(live, vector("reference_prior", reference, c), 0.0)
    prior = estimate_prior((frame / heat).softmax(-1), even, reference=reference).prior
    copies = _resampled(prior, target, seed)
    uniform = torch.full_like(learned, 1 / experts)
    scores = [torch.where(live, combine(logits, w), -torch.inf) for w in (learned, uniform)]
    right = [(z.argmax(-1) == target).double() for z in scores]
    gain, error = _paired(right[0] - right[1], copies)
    points = f"{100 * gain:+.2f} points, standard error {100 * error:.2f}"
    where = "validation data re-sampled to the estimated test prior"
    left_out = int((live & (torch.bincount(target, minlength=c) == 0)).sum())
    if left_out:
        line = f"{left_out} classes have no validation rows and take no part in the check"
        notes = (*notes, line)
    if gain < -error:
        line = f"learned weights discarded: below uniform weights on {where} ({points})"
        return Aggregation(uniform, stopped, (*notes, line), True, learned, prior)
    line = f"learned weights kept: against uniform weights on {where} {points}"
    return Aggregation(learned, stopped, (*notes, line), False, learned, prior)


def _labelled(
    validation: tuple[Tensor, Tensor], experts: int, live: Tensor
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """``(E, M, C)`` and ``(M,)`` of the rows of classes that are ``live``, and what was left out."""
    logits, target = validation[0].detach().cpu().double(), validation[1].detach().cpu()
    c = len(live)
    if logits.shape != (experts, len(target), c) or not len(target):
        raise DataError(
            f"validation logits {tuple(logits.shape)} and labels {tuple(target.shape)} do not fit "
            f"{experts} experts and {c} classes",
            "give (E, M, C) and (M,)",
        )
    check_labels(target, len(target), c)
    check_rows(logits.transpose(0, 1).flatten(1), "validation")
    target = target.long()
    kept = live[target]
    if bool(kept.all()):
        return logits, target, ()
    line = f"{int((~kept).sum())} validation rows of classes without training samples are left out"
    return logits[:, kept], target[kept], (line,)


def _resampled(prior: Tensor, target: Tensor, seed: int) -> Tensor:
    """``(M,)`` how often each validation row stands in the copy of ``M`` rows.

    Classes get their share of the ``M`` rows (largest remainders), spread over their rows as
    evenly as can be, in seeded order.
    """
    counts = torch.bincount(target, minlength=len(prior))
    share = (torch.where(counts > 0, prior, 0.0) * len(target)).numpy()
    share *= len(target) / share.sum()
    wanted = np.floor(share).astype(np.int64)
    rest = np.argsort(wanted - share, kind="stable")[: len(target) - int(wanted.sum())]
    wanted[rest] += 1
    copies = np.zeros(len(target), dtype=np.int64)
    order = _generator(seed, 2).permutation(len(target))
    for label in np.flatnonzero(counts.numpy()):
        rows = order[target.numpy()[order] == label]
        each, more = divmod(int(wanted[label]), len(rows))
        copies[rows] = each
        copies[rows[:more]] += 1
    return torch.from_numpy(copies).double()


def _paired(difference: Tensor, copies: Tensor) -> tuple[float, float]:
    """Mean difference over the copy, and its standard error (a copied row counts as one row)."""
    w = copies / copies.sum()
    mean = float((w * difference).sum())
    return mean, float((w**2 * (difference - mean) ** 2).sum().sqrt())
