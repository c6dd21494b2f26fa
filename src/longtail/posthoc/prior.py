"""Priors: which one a model answers to, and how to move it to another."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from longtail.errors import ConfigError, DataError, nearest
from longtail.functional.precision import widen
from longtail.posthoc.base import Adjuster, FitData
from longtail.posthoc.checks import check_logits, numbers, vector
from longtail.types import ClassStats, Outputs

__all__ = ["PriorShift", "effective_prior", "read_target_prior", "shift", "shift_offset"]

WORDS = ("as_trained", "natural", "uniform")


def effective_prior(
    sampler_marginal: Tensor,
    class_weight: Tensor | None = None,
    offset: Tensor | None = None,
    *,
    natural: Tensor,
    allow_double: bool = False,
    shift: Tensor | None = None,
    parts: Mapping[str, str] | None = None,
) -> Tensor:
    """Prior to which the raw softmax answers: ``s_c w_c exp(-a_c)``, normalised.

    Args:
        sampler_marginal: ``(C,)`` ``s``, how often the sampler draws each class.
        class_weight: ``(C,)`` ``w``, weights of the loss; ``None``: ones.
        offset: ``(C,)`` ``a``, what the loss adds to the logits in training; ``None``: zeros.
        natural: ``(C,)`` training prior; classes at 0 are masked and stay at 0.
        allow_double: keep a composition that corrects the prior twice.
        shift: ``(C,)`` what is added to the logits afterwards, if that is to be counted in.
        parts: names for the message: ``sampler``, ``weight``, ``offset``, ``shift``.

    Returns:
        ``(C,)`` float64.

    Raises:
        ConfigError: two ingredients each move the prior towards uniform and together they
            reverse it: rank correlation with the log training prior under -0.5, and a spread
            over a tenth of the training prior's.
        DataError: values that are missing, no finite numbers, or of another length.
    """
    pi = vector("natural", natural)
    pi = pi / pi.sum()
    seen = pi > 0
    log_pi = torch.where(seen, pi, 1.0).log()
    given = {"sampler": sampler_marginal, "weight": class_weight, "offset": offset, "shift": shift}
    logs: dict[str, Tensor] = {}
    for name, value in given.items():
        if value is None and name != "sampler":
            continue
        v = numbers(name, value)
        v = torch.where(seen, v, 1.0) if v.shape == pi.shape else v
        if name in ("sampler", "weight"):
            logs[name] = vector(name, v, len(pi)).log()
        elif v.shape != pi.shape or not torch.isfinite(v).all():
            raise DataError(
                f"the {name} of the logits must be {len(pi)} finite numbers",
                f"got {v.flatten()[:8].tolist()}",
            )
        else:
            logs[name] = -v if name == "offset" else v
    total = torch.stack(list(logs.values())).sum(0)
    if not allow_double:
        moves = {**logs, "sampler": logs["sampler"] - log_pi}
        labels = {"sampler": "the sampler", "weight": "the class weights",
                  "offset": "the loss", "shift": "the shift", **(parts or {})}  # fmt: skip
        _refuse_double(moves, total, log_pi, seen, labels)
    return torch.where(seen, total, -torch.inf).softmax(0)


def _refuse_double(
    moves: dict[str, Tensor], total: Tensor, log_pi: Tensor, seen: Tensor, labels: dict[str, str]
) -> None:
    usable = seen & torch.isfinite(total)
    base = log_pi[usable].numpy()
    if len(base) < 2 or np.ptp(base) < 1e-9:
        return
    log_e = total[usable].numpy()
    centred = base - base.mean()
    flat = [k for k, v in moves.items() if float(centred @ v[usable].numpy()) < -1e-9]
    reverses = _rank_correlation(log_e, base) < -0.5 and np.ptp(log_e) > 0.1 * np.ptp(base)
    if len(flat) > 1 and reverses:
        fold = float(np.exp(min(log_e[base == base.min()].mean() - log_e[base.argmax()], 700)))
        raise ConfigError(
            f"{labels[flat[0]]} and {labels[flat[1]]} both correct the class prior; together the "
            f"model would favour rare classes {fold:.4g}-fold",
            "drop one, pass the sampled prior to the loss, or set allow_double=true",
        )


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    x, y = (rankdata(np.round(v, 12)) for v in (a, b))
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale else 0.0


def read_target_prior(
    value: str | Path | Mapping[str, float] | Sequence[float] | Tensor,
    *,
    natural: Tensor,
    effective: Tensor,
    names: Sequence[str],
    allow_zero: bool = False,
) -> Tensor:
    """The prior of deployment, from any of the forms it can be given in.

    Args:
        value: ``as_trained`` (the effective prior: nothing moves), ``natural`` (training counts),
            ``uniform``, a CSV file with columns ``class,weight``, a mapping of class names to
            weights, or one weight for each class. Weights are shares that sum to one, or counts
            on any scale.
        natural: ``(C,)`` training prior.
        effective: ``(C,)`` prior the model answers to; classes at 0 are masked and stay so.
        names: ``C`` class names.
        allow_zero: accept weights of zero, which exclude a class.

    Returns:
        ``(C,)`` float64, normalised.

    Raises:
        ConfigError: nothing, an unknown word or a missing file.
        DataError: a file that cannot be read as text; unknown, missing or repeated class names; weights that are not positive;
            shares that do not sum to one.
    """
    if isinstance(value, str) and value == "estimate":
        raise ConfigError(
            "an estimated target prior needs the rows that it is estimated from",
            "give --target-prior estimate to longtail evaluate or predict",
        )
    if value is None:
        raise ConfigError(
            "target_prior is missing",
            f"give {', '.join(WORDS)}, a CSV file, a mapping or one weight for each class",
        )
    base = vector("effective prior", effective, len(names))
    if isinstance(value, str) and value in WORDS:
        out = {"as_trained": base, "natural": vector("natural", natural, len(names)),
               "uniform": torch.ones(len(names), dtype=torch.float64)}[value]  # fmt: skip
    else:
        if isinstance(value, str | Path):
            value = _read_csv(Path(value))
        if isinstance(value, Mapping):
            value = _by_name(value, names)
        out = vector("target_prior", value, len(names))
        _check_shares(out)
        if (out == 0).any() and not allow_zero:
            zero = [names[c] for c in torch.nonzero(out == 0).flatten().tolist()]
            raise DataError(
                f"target_prior gives weight 0 to {len(zero)} classes: {', '.join(zero[:10])}",
                "give positive weights, or allow_zero=True to exclude these classes",
            )
    out = vector("target_prior of the model's classes", torch.where(base > 0, out, 0.0))
    return out / out.sum()


def _check_shares(weights: Tensor) -> None:
    """Refuse what looks like shares and does not sum to one: numbers up to 1, not all whole."""
    total = float(weights.sum())
    shares = bool((weights <= 1).all()) and bool((weights != weights.round()).any())
    if shares and abs(total - 1) > 1e-3:
        raise DataError(
            f"target_prior sums to {total:.6g}, not to 1",
            "give shares that sum to one, or counts (numbers above 1)",
        )


def _read_csv(path: Path) -> dict[str, float]:
    try:
        there = path.is_file()
    except (OSError, ValueError):  # too long for a name, or with a zero byte
        there = False
    if not there:
        hint = nearest(str(path), WORDS).rstrip("?")
        raise ConfigError(
            f"target_prior {str(path)[:200]!r} is no known word and no file",
            f"{hint}, or give a CSV file with columns class,weight",
        )
    out: dict[str, float] = {}
    rows = _csv_rows(path)
    if rows and [c.strip().lower() for c in rows[0]] == ["class", "weight"]:
        rows = rows[1:]
    for number, row in enumerate(rows, 1):
        try:
            name, weight = row[0].strip(), float(row[1])
            if any(cell.strip() for cell in row[2:]):  # a decimal comma is no point
                raise ValueError
        except (IndexError, ValueError):
            raise DataError(
                f"row {number} of {path.name} is no class and weight: {','.join(row)[:60]!r}",
                "write two columns, class,weight, and decimals with a point",
            ) from None
        if name in out:
            raise DataError(f"{path.name} names {name!r} twice", "give each class one row")
        out[name] = weight
    return out


def _csv_rows(path: Path) -> list[list[str]]:
    """Rows with anything in them."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except UnicodeDecodeError:
        problem = "it is not UTF-8"
    except csv.Error as error:
        problem = str(error)
    except OSError as error:
        problem = error.strerror or str(error)
    raise DataError(
        f"target_prior file {path.name} cannot be read: {problem}",
        "save it as UTF-8 text with two columns, class,weight",
    )


def _by_name(value: Mapping[str, float], names: Sequence[str]) -> list[float]:
    given: dict[str, float] = {}
    for key, weight in value.items():
        name = str(key)
        if name in given:
            raise DataError(f"target_prior names {name!r} twice", "give each class one weight")
        try:
            given[name] = float(weight)
        except (TypeError, ValueError, RuntimeError):
            raise DataError(
                f"target_prior gives class {name!r} no number: {str(weight)[:60]!r}",
                "give every class a weight",
            ) from None
    unknown = [k for k in given if k not in set(names)]
    if unknown:
        raise DataError(
            f"target_prior names {len(unknown)} classes that the model does not know: "
            f"{', '.join(unknown[:10])}",
            f"use these names: {', '.join(list(names)[:10])} (nearest: {nearest(unknown[0], names)})",
        )
    missing = [n for n in names if n not in given]
    if missing:
        raise DataError(
            f"target_prior leaves out {len(missing)} classes: {', '.join(missing[:10])}",
            "give every class a weight",
        )
    return [given[n] for n in names]


def shift_offset(effective: Tensor, target: Tensor, *, strength: float = 1.0) -> Tensor:
    """``(C,)`` float64 ``strength (log target - log effective)``; ``-inf`` where either is 0."""
    if not isinstance(strength, Real) or not math.isfinite(strength):
        raise ConfigError(f"the strength of a shift must be finite, not {strength}", "1 is in full")
    e = vector("effective prior", effective)
    t = vector("target_prior", target, len(e))
    live = (e > 0) & (t > 0)
    if not live.any():
        raise DataError(
            "target_prior and the effective prior have no class in common",
            "give weight to a class that the model was trained on",
        )
    e, t = e / e.sum(), t / t.sum()
    one = torch.ones_like(e)
    moved = strength * (torch.where(live, t, one).log() - torch.where(live, e, one).log())
    return torch.where(live, moved, -torch.inf)


def shift(logits: Tensor, effective: Tensor, target: Tensor, *, strength: float = 1.0) -> Tensor:
    """``z - log effective + log target``: the same evidence under another prior.

    Args:
        logits: ``(..., C)``; half precision is widened to float32.
        effective: ``(C,)`` prior that the logits answer to.
        target: ``(C,)`` prior wanted.
        strength: multiplies the move; other values than 1 give a decision rule, no probability.

    Returns:
        ``(..., C)``; the logits themselves where both priors are equal.
    """
    offset = shift_offset(effective, target, strength=strength)
    check_logits(logits, len(offset))
    z = widen(logits)
    return z + offset.to(z)


class PriorShift(Adjuster):
    """Moves the model from its effective prior to a target prior: :func:`shift` as an adjuster.

    Args:
        target: a form of :func:`read_target_prior`.
        class_counts: training counts; given, the model is taken to answer to their prior.

    Reference: Saerens et al., Neural Computation 2002.
    """

    needs_stats = True
    corrects_prior = True
    offset: Tensor

    def __init__(self, target: Any = "uniform", *, class_counts: Any = None) -> None:
        super().__init__()
        self.target = target
        self.register_buffer("offset", torch.zeros(0, dtype=torch.float64))
        self.finish(class_counts)

    def on_bind(self, stats: ClassStats) -> None:
        """Usable at once, from the training prior."""
        self._move(stats, stats.prior)
        self.fitted.fill_(True)

    def on_fit(self, data: FitData) -> None:
        """Take the model's own effective prior where it is known."""
        known = data.prior is not None
        self._move(data.stats, data.prior if known else data.stats.prior)  # type: ignore[arg-type]
        self._notes = () if known else ("the model is taken to answer to its training prior",)

    def _move(self, stats: ClassStats, effective: Tensor) -> None:
        wanted = read_target_prior(
            self.target, natural=stats.prior, effective=effective, names=stats.names
        )
        self.offset = shift_offset(effective, wanted).to(self.offset.device)

    def on_transform(self, outputs: Outputs) -> Tensor:
        return outputs.logits + self.offset.to(outputs.logits)

    def effective_prior(self, prior: Tensor) -> Tensor:
        """``prior * exp(offset)``, normalised."""
        self.ready()
        prior = vector("the prior", prior, self.num_classes())
        return (prior.log() + self.offset.cpu()).softmax(0)

    def describe(self) -> dict[str, Any]:
        """The target as it was given."""
        plain = self.target if isinstance(self.target, str) else str(self.target)
        return {**super().describe(), "target": plain}
