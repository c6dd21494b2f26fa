"""The class mix of unlabelled rows, with its interval and with what speaks against using it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from torch import Tensor

from longtail.checks import check_whole
from longtail.errors import ConfigError, DataError, UnknownNameError
from longtail.posthoc.bbse import bbse, bbse_error, mean_by_class, moments
from longtail.posthoc.checks import check_labels, check_rows, vector
from longtail.posthoc.em import estimate_prior
from longtail.posthoc.prior import shift_offset
from longtail.posthoc.prior_estimate import PriorEstimate
from longtail.posthoc.resampled import Resampled
from longtail.posthoc.residual import Residual, residual_test
from longtail.posthoc.temperature import BOUND, balanced_temperature

__all__ = ["METHODS", "PriorEstimate", "estimate_target_prior"]

METHODS = ("em", "bbse", "bbse_hard")
#: unlabelled rows times classes, and classes, up to which intervals come from resampling
RESAMPLED_CELLS, RESAMPLED_CLASSES = 1 << 18, 200
_Z = 1.959964
_UNTESTED = (
    "not tested whether more than the class mix has changed: too few rows or too many classes"
)


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
    check_whole("seed", seed, low=0)
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
    by_labels: bool
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
        error, by_labels = _delta(confusion, by_mean, shown, seen, task.target)
        alpha = task.classes * ref
        if method == "em":
            found = fit.prior, fit.converged, confusion, by_mean
        else:
            found = by_mean, True, confusion, fit.prior
        return _Found(*found, error, by_labels, alpha, again)


def _decisions(p: Tensor) -> Tensor:
    return torch.zeros_like(p).scatter_(1, p.argmax(1, keepdim=True), 1.0)


def _delta(
    confusion: Tensor, q: Tensor, p: Tensor, known: Tensor, target: Tensor
) -> tuple[Tensor, bool]:
    """Standard errors of the linear estimate, and whether most of them is the labelled rows'."""
    counts = torch.bincount(target, minlength=len(q)).clamp_min(1).double()
    centred = (known.double() - confusion.T[target]) * (q / counts)[target][:, None]
    both = moments(p), centred.T @ centred
    none = torch.zeros_like(both[0])
    new, old = (bbse_error(confusion, q, *b) for b in ((both[0], none), (none, both[1])))
    return bbse_error(confusion, q, *both), bool(old.square().sum() > new.square().sum())


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
    residual = _residual(task)
    disagreement = _tv(found.prior, found.cross)
    width = (interval[:, 1] - interval[:, 0]) / 2
    refuse, care = _objections(task, found, method, width, counts, labels, sigma)
    _of_residual(residual, refuse, care)
    spread = 0.5 * float((width + _Z * found.cross_error).sum())
    if disagreement > spread:
        other = "bbse" if method == "em" else "em"
        care.append(f"{other} finds another mix: they differ by {100 * disagreement:.1f} points")
    if task.left_out:
        care.append(f"{task.left_out} labelled rows of masked classes are left out")
    if not task.known:
        care.append("labelled rows do not say how sure the model may be: temperature 1 is taken")
    notes = [] if residual else [_UNTESTED]
    notes += (
        ["many rows and classes: a normal interval, without resamples"] if drawn is None else []
    )
    moved = z + frame + torch.where(found.prior > 0, found.prior, 1e-300).log()
    distances = None if drawn is None else 0.5 * (drawn - ref).abs().sum(1)
    point = _tv(found.prior, ref)
    ends = [point, point] if distances is None else [
        float(torch.quantile(distances, q)) for q in (0.025, 0.975)
    ]  # fmt: skip
    return PriorEstimate(
        found.prior, interval, method, labels, len(z), counts, task.heat,
        float(sigma[0] / sigma[-1].clamp_min(1e-300)), float(sigma[-1]),
        float(torch.special.entr(sigma / sigma.sum()).sum().exp()), found.converged,
        found.cross, disagreement, (point, ends[0], ends[1]),
        float((moved.argmax(1) != z.argmax(1)).double().mean()),
        _gain(task, found.prior, frame), residual,
        tuple(n for n, q in zip(labels, found.prior.tolist(), strict=True) if q < 0.1 / len(z)),
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
    sigma: Tensor,
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
    least = float(sigma[-1])
    if least < 0.2 or float(sigma[0]) > 20 * least:
        line = f"the model confuses classes too much (smallest singular value {least:.3f})"
        (refuse if method != "em" and least < 0.05 else care).append(line)
    relative = (width / found.prior.clamp_min(1e-12))[task.live].median()
    if relative > 2:
        refuse.append("half of the classes have an interval wider than four times their share")
    elif bool((width > found.prior.clamp_min(0.05)).any()):
        line = "the interval of some class is wider than its share"
        care.append(line + ("; only more labelled rows would narrow it" if found.by_labels else ""))
    if not found.converged:
        care.append("the iteration did not converge")
    return refuse, care


def _residual(task: Resampled) -> Residual | None:
    """Of the classes that are not masked."""
    p, known = (v[:, task.live] for v in task.probabilities())
    rows = task.live[task.target]
    place = task.live.cumsum(0) - 1
    return residual_test(p, known[rows], place[task.target[rows]])


def _of_residual(residual: Residual | None, refuse: list[str], care: list[str]) -> None:
    """What the test of the mix says against the estimate."""
    if residual is not None and residual.p < 0.0001:
        refuse.append(f"more than the class mix has changed (p = {residual.p:.1g})")
    elif residual is not None and residual.p < 0.01:
        care.append(f"more than the class mix may have changed (p = {residual.p:.1g})")


def _gain(task: Resampled, prior: Tensor, frame: Tensor) -> tuple[float, float, float]:
    """Accuracy on the labelled rows, weighed to the prior, with the shift less that without."""
    moved = task.old + torch.where(prior > 0, prior, 1e-300).log()
    plain = task.old - torch.where(task.live, frame, 0.0)
    won = (moved.argmax(1) == task.target).double() - (plain.argmax(1) == task.target).double()
    counts = torch.bincount(task.target, minlength=task.classes).clamp_min(1).double()
    total, squares = (
        torch.zeros_like(prior).index_add_(0, task.target, v) / counts for v in (won, won**2)
    )
    spread = _Z * float((prior**2 * (squares - total**2) / counts).sum().sqrt())
    gain = float(prior @ total)
    return gain, gain - spread, gain + spread


def _tv(a: Tensor, b: Tensor) -> float:
    return 0.5 * float((a - b).abs().sum())
