"""Priors in words: the one a model answers to, and the one it was moved to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["aims_at", "answers_to", "last_parts", "measured_text", "prior_line"]

#: classes up to which every share is written out
ALL = 4
#: total variation from the training shares up to which a prior is the natural one
NEAR = 1e-3

Shares = Sequence[float] | NDArray[np.float64] | None


def answers_to(effective: Shares, natural: Shares, names: Sequence[str]) -> str:
    """The prior of a model's own softmax, such as ``uniform (each class 10 %)``.

    Args:
        effective: ``(C,)`` that prior, or ``None``: no formula gives it.
        natural: ``(C,)`` shares of the classes in the training data, or ``None``.
        names: ``C`` class names.
    """
    if effective is None or not len(effective):
        return "not known: no formula follows this recipe"
    return _words(effective, natural, names)


def aims_at(
    target_prior: Any, target: Shares, effective: Shares, natural: Shares, names: Sequence[str]
) -> str:
    """The prior that probabilities and decisions answer to, and what that means for them.

    Args:
        target_prior: what was asked for: ``as_trained``, ``uniform``, a file ...
        target: ``(C,)`` that prior in numbers, or ``None`` for ``as_trained``.
        effective: ``(C,)`` prior of the model's own softmax, or ``None``.
        natural: ``(C,)`` shares of the classes in the training data, or ``None``.
        names: ``C`` class names.
    """
    word = "as_trained" if target_prior is None else str(target_prior)
    if word == "as_trained":
        if effective is None or not len(effective):
            return "as_trained, the only one that can be asked for"
        if _known(natural) and _far(effective, natural):
            return f"as_trained: not shifted to the training shares ({_shares(natural, natural, names)})"
        return "as_trained: nothing is shifted"
    if target is None or not len(target):
        return word
    text = _words(target, natural, names)
    if text.startswith((word, "uniform", "natural")):
        return text if text.startswith(word) else f"{word}, {text}"
    return f"{word} ({text})"


def measured_text(
    found: Mapping[str, Any], part: str, natural: Shares, names: Sequence[str], parts: str
) -> str:
    """A measured prior, how far it lies from the declared one, and whom to ask if that is far.

    Args:
        found: ``measured_prior`` of an evaluation.
        part: ``validation`` or ``test``: which rows it was measured on.
        natural: ``(C,)`` shares of the classes in the training data, or ``None``.
        names: ``C`` class names.
        parts: the sampler and loss in words.
    """
    if "skipped" in found:
        return f"not measured: {found['skipped']}"
    text = f"{_words(found['prior'], natural, names)} on {found['rows']} {part} rows"
    if found["tv"] is None:
        return f"{text}; none is declared"
    text += f"; declared against measured, TV = {found['tv']:.3f}"
    if not found["differs"]:
        return text
    return f"{text}: too far apart for chance; look at calibration, {parts}"


def last_parts(recipe: Mapping[str, Any]) -> str:
    """Sampler and loss of the last stage of a recipe that has them."""
    stage = (recipe.get("stages") or [{}])[-1]
    said = [
        f"{kind} {stage[kind]['part']}"
        for kind in ("sampler", "loss")
        if (stage.get(kind) or {}).get("part")
    ]
    return " and ".join(said) or "sampler and loss"


def prior_line(
    effective: Shares, target_prior: Any, target: Shares, natural: Shares, names: Sequence[str]
) -> str:
    """Both of them as one line for the terminal; arguments as for :func:`aims_at`."""
    known = effective is not None and len(effective) > 0
    own = answers_to(effective, natural, names)
    said = f"the model answers to {own}" if known else own
    return f"prior: {said}; target {aims_at(target_prior, target, effective, natural, names)}"


def _words(shares: Shares, natural: Shares, names: Sequence[str]) -> str:
    """The name of a prior where it has one, and its numbers."""
    v = np.asarray(shares, dtype=float)
    if v.max() - v.min() < 1e-6 * v.max():
        return f"uniform (each class {_percent(v[0])})"
    kind = "natural (%s)" if _known(natural) and not _far(v, natural) else "%s"
    return kind % _shares(v, natural, names)


def _shares(shares: Shares, natural: Shares, names: Sequence[str]) -> str:
    """All shares of few classes; of many those of the largest and the smallest class."""
    v = np.asarray(shares, dtype=float)
    if len(names) != len(v):
        return f"{_percent(v.min())} to {_percent(v.max())} per class"
    if len(v) <= ALL:
        return ", ".join(f"{name}: {_percent(x)}" for name, x in zip(names, v, strict=True))
    size = np.asarray(natural, dtype=float) if _known(natural) else v
    head, tail = int(size.argmax()), int(len(v) - 1 - size[::-1].argmin())
    ends = _percent(v[head]), _percent(v[tail])
    return f"{ends[0]} of {names[head]} (largest class), {ends[1]} of {names[tail]} (smallest)"


def _known(natural: Shares) -> bool:
    return natural is not None and len(natural) > 0 and bool(np.isfinite(natural).all())


def _far(shares: Shares, natural: Shares) -> bool:
    a, b = np.asarray(shares, dtype=float), np.asarray(natural, dtype=float)
    return len(a) != len(b) or 0.5 * float(np.abs(a - b).sum()) > NEAR


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
