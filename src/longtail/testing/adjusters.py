"""Checks of adjusters."""

from __future__ import annotations

import copy
import functools
import json
import pickle
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from longtail.errors import ConfigError, DataError
from longtail.posthoc import FitData
from longtail.registry import Record
from longtail.testing.contract import check
from longtail.testing.tools import (
    CLASSES,
    COUNTS,
    RENAMED,
    build,
    close,
    labels,
    noise,
    raises_two_lines,
)
from longtail.types import ClassStats, Outputs

__all__: list[str] = []

ROWS, WIDTH = 60, 6


def _fit_data(
    counts: Any = COUNTS, *, validation: bool = True, order: Tensor | None = None
) -> FitData:
    """Validation outputs of a linear head whose softmax answers to the training prior."""
    order = torch.arange(CLASSES) if order is None else order
    weight, bias = noise(CLASSES, WIDTH, seed=1)[order], noise(CLASSES, seed=2)[order]
    features = noise(ROWS, WIDTH, seed=3)
    outputs = Outputs(features @ weight.T + bias, features)
    target = torch.argsort(order)[labels((20, 10, 10, 10, 10), seed=4)]
    stats = ClassStats(torch.as_tensor(counts)[order])
    return FitData(
        outputs if validation else None,
        target if validation else None,
        stats,
        head_weight=weight,
        head_bias=bias,
        prior=stats.prior,
    )


def _outputs(data: FitData, seed: int = 9) -> Outputs:
    assert data.head_weight is not None
    assert data.head_bias is not None
    features = noise(ROWS, WIDTH, seed=seed)
    return Outputs(features @ data.head_weight.T + data.head_bias, features)


@check("adjusters")
def keeps_shape(record: Record) -> None:
    """``(B, C)`` finite logits, row by row; the outputs given stay as they are."""
    data = _fit_data()
    adjuster = build(record).fit(data)
    outputs = _outputs(data)
    before = outputs.logits.clone()
    z = adjuster.transform(outputs)
    assert z.shape == before.shape
    assert torch.isfinite(z).all()
    assert torch.equal(outputs.logits, before)
    one = Outputs(outputs.logits[:1], outputs.features[:1])
    close(adjuster.transform(one)[0], z[0], tol=1e-5)


@check("adjusters")
def fit_twice_is_fit_once(record: Record) -> None:
    """A second fit forgets the first, whatever it saw."""
    data = _fit_data()
    once = build(record).fit(data)
    twice = build(record).fit(_fit_data((3, 50, 9, 1, 7))).fit(data)
    close(twice.transform(_outputs(data)), once.transform(_outputs(data)), tol=0)
    close(once.fit(data).transform(_outputs(data)), twice.transform(_outputs(data)), tol=0)


@check("adjusters")
def state_is_all_of_it(record: Record) -> None:
    """A new adjuster with the saved state, and a pickle, adjust alike."""
    data = _fit_data()
    adjuster = build(record).fit(data)
    z = adjuster.transform(_outputs(data))
    state = {k: v.clone() for k, v in adjuster.state_dict().items()}
    assert all(isinstance(v, Tensor) for v in state.values())
    close(build(record).restore(state).transform(_outputs(data)), z, tol=0)
    close(pickle.loads(pickle.dumps(adjuster)).transform(_outputs(data)), z, tol=0)


@check("adjusters")
def renaming_classes(record: Record) -> None:
    """Everything renamed: the logits renamed."""
    plain, renamed = _fit_data(), _fit_data(order=RENAMED)
    one = build(record).fit(plain).transform(_outputs(plain))
    other = build(record).fit(renamed).transform(_outputs(renamed))
    close(other, one[:, RENAMED], tol=1e-5)


@check("adjusters", tag="identity_on_uniform_counts")
def uniform_counts_change_no_prediction(record: Record) -> None:
    """Equal counts: the probabilities stay."""
    data = _fit_data([40] * CLASSES)
    outputs = _outputs(data)
    z = build(record).fit(data).transform(outputs)
    close(z.softmax(1), outputs.logits.softmax(1), tol=1e-6)


@check("adjusters")
def does_something(record: Record) -> None:
    """On skewed counts some prediction changes."""
    data = _fit_data()
    outputs = _outputs(data)
    z = build(record).fit(data).transform(outputs)
    assert not torch.equal(z.argmax(1), outputs.logits.argmax(1))


@check("adjusters")
def works_without_validation(record: Record) -> None:
    """Without validation data it takes its default; what it learned is plain data."""
    data = _fit_data(validation=False)
    adjuster = build(record).fit(data)
    assert torch.isfinite(adjuster.transform(_outputs(data))).all()
    assert json.loads(json.dumps(adjuster.describe()))
    assert all(isinstance(line, str) for line in adjuster.notes())


@check("adjusters")
def unfitted_use(record: Record) -> None:
    """Before ``fit`` it says so, in two lines."""
    data = _fit_data()
    raises_two_lines(ConfigError, lambda: build(record).transform(_outputs(data)))


@check("adjusters")
def moves_the_prior(record: Record) -> None:
    """It says which prior its logits answer to, or that it cannot."""
    data = _fit_data()
    adjuster = build(record).fit(data)
    prior = adjuster.effective_prior(data.stats.prior)
    if prior is None:
        return
    assert prior.shape == (CLASSES,)
    close(prior.sum(), 1.0)
    z = adjuster.transform(_outputs(data)) - _outputs(data).logits
    moved = z[0].double() - (prior / data.stats.prior).log()
    close(moved - moved.mean(), torch.zeros(CLASSES), tol=1e-5, what="shift and prior disagree")


@check("adjusters")
def half_precision(record: Record) -> None:
    """Half-precision outputs give wide logits."""
    data = _fit_data()
    adjuster = build(record).fit(data)
    wide = _outputs(data)
    for dtype in (torch.float16, torch.bfloat16):
        z = adjuster.transform(Outputs(wide.logits.to(dtype), wide.features.to(dtype)))
        assert z.dtype == torch.float32
        assert torch.isfinite(z).all()


@check("adjusters")
def survives_half_modules(record: Record) -> None:
    """``module.half()`` and autocast leave offsets and answers wide enough."""
    data = _fit_data()
    adjuster = build(record).fit(data)
    outputs = _outputs(data)
    z = adjuster.transform(outputs)
    low = copy.deepcopy(adjuster).half()
    close(low.transform(outputs), z, tol=1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        close(low.transform(outputs), z, tol=1e-6, what="autocast")


@check("adjusters")
def refuses_what_does_not_fit(record: Record) -> None:
    """Logits of other classes, labels that are none and logits that are not finite: two lines."""
    data = _fit_data()
    adjuster = build(record).fit(data)
    outputs, target = _outputs(data), data.target
    assert target is not None
    fewer = outputs.with_logits(outputs.logits[:, 1:])
    raises_two_lines(DataError, lambda: adjuster.transform(fewer))
    broken = outputs.with_logits(outputs.logits.clone())
    broken.logits[3, 1] = torch.nan
    for given, labels_given in ((fewer, target), (broken, target), (outputs, target - 1)):
        bad = replace(data, outputs=given, target=labels_given)
        raises_two_lines(DataError, functools.partial(build(record).fit, bad))
