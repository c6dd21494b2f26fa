"""The class mix of unlabelled rows, with its interval and with what speaks against using it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtail.errors import ConfigError, DataError, UnknownNameError
from longtail.posthoc.bbse import bbse, bbse_error, mean_by_class, moments
from longtail.posthoc.checks import check_labels, check_rows, check_seed, vector
from longtail.posthoc.em import estimate_prior
from longtail.posthoc.prior import shift_offset
from longtail.posthoc.resampled import Resampled
from longtail.posthoc.temperature import BOUND, balanced_temperature

__all__ = ["METHODS", "PriorEstimate", "estimate_target_prior"]

METHODS = ("em", "bbse", "bbse_hard")
#: unlabelled rows times classes, and classes, up to which intervals come from resampling
RESAMPLED_CELLS, RESAMPLED_CLASSES = 1 << 18, 200
_Z = 1.959964


@dataclass(frozen=True, eq=False)
class PriorEstimate:
    """An estimated class prior, and how far it is to be trusted.

    Attributes:
        prior: ``(C,)`` float64 shares.
        interval: ``(C, 2)`` float64, 95 %.
        method: ``em``, ``bbse`` or ``bbse_hard``.
        names: class names.
        n_unlabelled: rows it was estimated from.
        validation_counts: ``(C,)`` labelled rows of each class.
        temperature: that the scores were divided by.
        condition: of the confusion matrix; ``sigma_min`` its smallest singular value.
        converged: the iteration ended by itself.
        cross_check: ``(C,)`` estimate of another method; ``disagreement`` their total variation.
        tv_from_reference: total variation from the training prior, with its interval.
        changed: share of the unlabelled rows that are decided otherwise under it.
        verdict: ``use``, ``use_with_care`` or ``refuse``.
        reasons: why, one sentence each.
    """

    prior: Tensor
    interval: Tensor
    method: str
    names: tuple[str, ...]
    n_unlabelled: int
    validation_counts: Tensor
    temperature: float
    condition: float
    sigma_min: float
    converged: bool
    cross_check: Tensor
    disagreement: float
    tv_from_reference: tuple[float, float, float]
    changed: float
    verdict: str
    reasons: tuple[str, ...]

    def usable(self, *, force: bool = False) -> Tensor:
        """The shares, unless the verdict is ``refuse``.

        Raises:
            DataError: it is, and ``force`` is not given.
        """
        if self.verdict == "refuse" and not force:
            raise DataError(
                f"prior estimate refused: {self.reasons[0]}",
                "give more unlabelled rows, or label more; with force it is used all the same",
            )
        return self.prior

    def lines(self, most: int = 20) -> list[str]:
        """For the terminal: the shares that are largest or moved most, and the reasons."""
        order = self.prior.argsort(descending=True, stable=True)[:most].tolist()
        wide = max(len(self.names[c]) for c in order)
        out = [
            f"prior estimated by {self.method} from {self.n_unlabelled} rows: {self.verdict}; "
            f"{100 * self.changed:.1f} % of the decisions change"
        ]
        for c in order:
            low, high = self.interval[c].tolist()
            share = 100 * float(self.prior[c])
            out.append(
                f"  {self.names[c]:{wide}s} {share:6.2f} %  [{100 * low:.2f}, {100 * high:.2f}]"
            )
        if len(self.prior) > most:
            out.append(f"  and {len(self.prior) - most} classes of smaller share")
        return out + [f"  {reason}" for reason in self.reasons]

    def to_data(self) -> dict[str, Any]:
        """Plain values for JSON."""
        listed = {k: v.tolist() if isinstance(v, Tensor) else v for k, v in vars(self).items()}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in listed.items()}


def estimate_target_prior(
    unlabelled: Tensor,
    labelled: Tensor,
    target: Tensor,
    *,
    effective: Tensor,
    reference: Tensor | None = None,
    method: str = "em",
    resamples: int = 500,
    seed: int = 0,
    names: Sequence[str] = (),
) -> PriorEstimate:
    """Estimate the class mix of unlabelled rows under label shift (``p(x | y)`` unchanged).

    Scores are brought to the uniform frame, ``u = z - log effective``, and divided by the
    temperature of the labelled rows, every class weighing the same. Then ``em`` maximises the
    likelihood of the unlabelled rows under a Dirichlet prior of mass ``C`` around the reference
    (:func:`estimate_prior`); ``bbse`` solves for the mix that explains the mean prediction given
    the mean predictions by class; ``bbse_hard`` does so with decisions in place of probabilities.
    The one not asked for is the cross-check.

    The interval is the 2.5 % to 97.5 % range over joint resamples: labelled rows within class,
    unlabelled rows overall, the temperature fitted again. For many rows and classes it is a normal
    interval: of the observed information and of the temperature's error (``em``), or of the delta
    method (``bbse``).

    Args:
        unlabelled: ``(U, C)`` logits.
        labelled: ``(M, C)`` logits of held-out rows, ``target`` ``(M,)`` their labels.
        effective: ``(C,)`` prior that the logits answer to.
        reference: ``(C,)`` mix expected beforehand, the training prior; ``None``: uniform.
        method: ``em``, ``bbse`` or ``bbse_hard``.
        resamples: of the interval, at least 100.
        seed: of the resamples.
        names: ``C`` class names.

    Raises:
        ConfigError: an unknown method, or too few resamples.
        DataError: logits that are not finite or do not fit; labels outside ``[0, C)``; no
            labelled rows; a reference that is no prior.

    References: Saerens, Latinne and Decaestecker, Neural Computation 2002; Lipton, Wang and Smola,
    ICML 2018; for calibration first, Alexandari, Kundaje and Shrikumar, ICML 2020.
    """
    _settings(method, resamples, names, unlabelled)
    check_seed(seed)
    effective = vector("the effective prior", effective)
    new, old = _scores(unlabelled, "unlabelled"), _scores(labelled, "labelled")
    task, frame = _task(new, old, target.detach().cpu(), effective)
    expected = torch.ones_like(frame) if reference is None else reference
    ref = vector("the reference prior", expected, len(frame))
    ref = vector("the reference prior of the model's classes", torch.where(task.live, ref, 0.0))
    ref = ref / ref.sum()
    found = _Found.of(task, method, ref)
    span = _span(task, found, method, resamples, seed)
    return _judged(task, found, method, span, (new, ref, frame), names)


def _settings(method: str, resamples: int, names: Sequence[str], unlabelled: Tensor) -> None:
    if method not in METHODS:
        raise UnknownNameError("method of prior estimation", method, METHODS)
    if not isinstance(resamples, Integral) or resamples < 100:
        raise ConfigError(f"{resamples!r} resamples give no interval", "give 100 or more")
    if names and len(names) != unlabelled.shape[-1]:
        raise DataError(
            f"{len(names)} class names for {unlabelled.shape[-1]} classes", "give one name a class"
        )


def _task(new: Tensor, old: Tensor, target: Tensor, effective: Tensor) -> tuple[Resampled, Tensor]:
    """What is resampled, and the ``(C,)`` shift to the uniform frame."""
    c = new.shape[1]
    if len(effective) != c or old.shape[1] != c or len(target) != len(old):
        raise DataError(
            f"logits of {c} and {old.shape[1]} classes, {len(target)} labels for {len(old)} rows "
            f"and a prior of {len(effective)} do not fit",
            "give logits (U, C) and (M, C), labels (M,) and a prior (C,)",
        )
    check_labels(target, len(old), c)
    even = torch.full((c,), 1 / c, dtype=torch.float64)
    frame = shift_offset(effective, even)
    own = torch.isfinite(frame)[target.long()]  # rows of masked classes say nothing of the others
    if not own.any():
        raise DataError(
            "every labelled row is of a class that the model masks",
            "label rows of the classes that the model was trained on",
        )
    left_out, old, target = int((~own).sum()), old[own], target[own].long()
    heat = balanced_temperature(old + frame, target)
    known = abs(np.log(heat)) < BOUND - 0.01
    heat = heat if known else 1.0
    task = Resampled(new + frame, old + frame, target, heat, torch.isfinite(frame), known, left_out)
    return task, frame


def _scores(logits: Tensor, what: str) -> Tensor:
    z = logits.detach().cpu().double()
    if z.ndim != 2 or not len(z):
        raise DataError(
            f"there are no {what} rows in logits {tuple(z.shape)}",
            "hold labelled rows back with --validation 0.1, and give rows to estimate from",
        )
    check_rows(z, what)
    return z


@dataclass
class _Found:
    """Point estimates."""

    prior: Tensor
    converged: bool
    confusion: Tensor
    cross: Tensor
    cross_error: Tensor
    alpha: Tensor
    fit: Callable[[Tensor], Tensor]

    @staticmethod
    def of(task: Resampled, method: str, ref: Tensor) -> _Found:
        p, known = task.probabilities()
        hard = method == "bbse_hard"
        shown, seen = (_decisions(v) if hard else v for v in (p, known))
        confusion = mean_by_class(seen, task.target)
        by_mean = bbse(confusion, shown.mean(0), rows=len(shown))
        live = task.live.double()

        def again(p: Tensor) -> Tensor:
            return estimate_prior(p, live / live.sum(), reference=ref, tolerance=1e-6).prior

        fit = estimate_prior(p, live / live.sum(), reference=ref)
        error = _delta(confusion, by_mean, shown, seen, task.target)
        alpha = task.classes * ref
        if method == "em":
            return _Found(fit.prior, fit.converged, confusion, by_mean, error, alpha, again)
        return _Found(by_mean, True, confusion, fit.prior, error, alpha, again)


def _decisions(p: Tensor) -> Tensor:
    return torch.zeros_like(p).scatter_(1, p.argmax(1, keepdim=True), 1.0)


def _delta(confusion: Tensor, q: Tensor, p: Tensor, known: Tensor, target: Tensor) -> Tensor:
    """Standard errors of the linear estimate."""
    counts = torch.bincount(target, minlength=len(q)).clamp_min(1).double()
    centred = (known.double() - confusion.T[target]) * (q / counts)[target][:, None]
    return bbse_error(confusion, q, moments(p), centred.T @ centred)


def _span(
    task: Resampled, found: _Found, method: str, resamples: int, seed: int
) -> tuple[Tensor, Tensor | None]:
    """``(C, 2)`` interval, and the resampled priors ``(R, C)`` where there are any."""
    small = len(task.new) * task.classes <= RESAMPLED_CELLS
    if small and task.classes <= RESAMPLED_CLASSES:
        if method == "em":
            drawn = task.em(found.prior, found.alpha, resamples, seed)
        else:
            drawn = task.bbse(resamples, seed, hard=method == "bbse_hard")
        return torch.quantile(drawn, torch.tensor([0.025, 0.975]).double(), dim=0).T, drawn
    if method == "em":
        error = task.by_information(found.prior, found.alpha, found.fit)
    else:
        error = found.cross_error
    span = torch.stack([found.prior - _Z * error, found.prior + _Z * error], 1)
    return span.clamp(0, 1), None


def _judged(
    task: Resampled,
    found: _Found,
    method: str,
    span: tuple[Tensor, Tensor | None],
    about: tuple[Tensor, Tensor, Tensor],
    names: Sequence[str],
) -> PriorEstimate:
    z, ref, frame = about
    interval, drawn = span
    labels = tuple(names) or tuple(str(i) for i in range(task.classes))
    counts = torch.bincount(task.target, minlength=task.classes)
    sigma = torch.linalg.svdvals(found.confusion[task.live][:, task.live])
    disagreement = _tv(found.prior, found.cross)
    width = (interval[:, 1] - interval[:, 0]) / 2
    refuse, care = _objections(task, found, method, width, counts, labels, float(sigma[-1]))
    spread = 0.5 * float((width + _Z * found.cross_error).sum())
    if disagreement > spread:
        other = "bbse" if method == "em" else "em"
        care.append(f"{other} finds another mix: they differ by {100 * disagreement:.1f} points")
    if task.left_out:
        care.append(f"{task.left_out} labelled rows of masked classes are left out")
    if not task.known:
        care.append("labelled rows do not say how sure the model may be: temperature 1 is taken")
    notes = ["many rows and classes: a normal interval, without resamples"] if drawn is None else []
    moved = z + frame + torch.where(found.prior > 0, found.prior, 1e-300).log()
    distances = None if drawn is None else 0.5 * (drawn - ref).abs().sum(1)
    point = _tv(found.prior, ref)
    ends = [point, point] if distances is None else [
        float(torch.quantile(distances, q)) for q in (0.025, 0.975)
    ]  # fmt: skip
    return PriorEstimate(
        found.prior, interval, method, labels, len(z), counts, task.heat,
        float(sigma[0] / sigma[-1].clamp_min(1e-300)), float(sigma[-1]), found.converged,
        found.cross, disagreement, (point, ends[0], ends[1]),
        float((moved.argmax(1) != z.argmax(1)).double().mean()),
        "refuse" if refuse else "use_with_care" if care else "use",
        (*refuse, *care, *notes),
    )  # fmt: skip


def _objections(
    task: Resampled,
    found: _Found,
    method: str,
    width: Tensor,
    counts: Tensor,
    names: tuple[str, ...],
    sigma_min: float,
) -> tuple[list[str], list[str]]:
    """What forbids the estimate, and what asks for care."""
    refuse: list[str] = []
    care: list[str] = []
    u, c = len(task.new), int(task.live.sum())
    if u < max(50, 2 * c):
        refuse.append(f"{u} unlabelled rows for {c} classes: give {max(50, 2 * c)} or more")
    elif u < 20 * c:
        care.append(f"{u} unlabelled rows for {c} classes: 20 a class are wanted")
    for limit, text, bucket in (
        (1, "have no labelled row: nothing says that they are recognised", refuse),
        (10, "have fewer than 10 labelled rows", care),
    ):
        few = [names[i] for i in torch.nonzero(task.live & (counts < limit)).flatten().tolist()]
        if few:
            bucket.append(f"{len(few)} classes {text}: {', '.join(few[:8])}")
    if method == "bbse_hard":
        silent = task.live & (found.confusion.sum(1) == 0)
        if silent.any():
            refuse.append(f"{int(silent.sum())} classes are never predicted: use bbse or em")
    if sigma_min < 0.2:
        line = f"the model confuses classes too much (smallest singular value {sigma_min:.3f})"
        (refuse if method != "em" and sigma_min < 0.05 else care).append(line)
    relative = (width / found.prior.clamp_min(1e-12))[task.live].median()
    if relative > 2:
        refuse.append("half of the classes have an interval wider than four times their share")
    elif bool((width > found.prior.clamp_min(0.05)).any()):
        care.append("the interval of some class is wider than its share")
    if not found.converged:
        care.append("the iteration did not converge")
    return refuse, care


def _tv(a: Tensor, b: Tensor) -> float:
    return 0.5 * float((a - b).abs().sum())
