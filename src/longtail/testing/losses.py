"""Checks of losses."""

from __future__ import annotations

import copy
import inspect
import pickle
import warnings
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.errors import DataError, LongtailError, UnboundPartError
from longtail.functional import losses as functional
from longtail.registry import Record, part
from longtail.testing.contract import check
from longtail.testing.tools import (
    CLASSES,
    COUNTS,
    RENAMED,
    close,
    logits_and_labels,
    raises_two_lines,
)
from longtail.testing.tools import build as built
from longtail.types import ClassStats

__all__: list[str] = []

HALVES = (torch.float16, torch.bfloat16)


def build(record: Record, **extra: Any) -> Any:
    """The loss of a record, standing still: without noise or moving state, so that calls compare."""
    loss = built(record, **extra)
    return loss.eval() if loss.noisy or loss.stateful else loss


def _features(rows: int) -> Tensor:
    """``(rows, 6)``, eighths: every precision holds them."""
    g = torch.Generator().manual_seed(1)
    return torch.randn(rows, 6, generator=g, dtype=torch.float64).mul_(8).round_().div_(8)


def _value(loss: Any, z: Tensor, y: Tensor, h: Tensor | None = None, **more: Any) -> Tensor:
    h = _features(len(z)) if h is None else h
    value = loss(z, y, features=h.to(z.dtype), **more)
    assert isinstance(value, Tensor)
    return value


@check("losses")
def finite_loss_and_gradient(record: Record) -> None:
    """The mean is a finite scalar, and its gradient is finite and not zero."""
    z, y = logits_and_labels()
    z.requires_grad_()
    value = _value(built(record, class_counts=COUNTS), z, y)
    assert value.shape == ()
    assert torch.isfinite(value)
    (grad,) = torch.autograd.grad(value, z)
    assert torch.isfinite(grad).all()
    assert bool(grad.abs().sum() > 0)


@check("losses", when=lambda r: bool(r.load().noisy))
def noise_belongs_to_the_row(record: Record) -> None:
    """In training the noise follows the key of the row; in eval mode there is none."""
    z, y = logits_and_labels()
    keys = torch.linspace(0.01, 0.99, len(y))
    loss = built(record, class_counts=COUNTS, reduction="none")

    def keyed(rows: Tensor, of: Tensor = keys) -> Tensor:
        loss.key(of[rows])
        return _value(loss, z[rows], y[rows])

    every = torch.arange(len(y))
    first, order = keyed(every), every.flip(0)
    close(keyed(order), first[order], what="another order")
    close(torch.cat([keyed(every[:5]), keyed(every[5:])]), first, what="in two parts")
    assert not torch.allclose(keyed(every, 1 - keys), first), "other keys, the same noise"
    for dtype in HALVES:
        low = (1e4 * z).to(dtype).requires_grad_()
        loss.key(keys)
        (grad,) = torch.autograd.grad(loss(low, y).sum(), low)
        assert torch.isfinite(grad).all(), str(dtype)
    loss.eval()
    close(keyed(every, 1 - keys), keyed(every), tol=0, what="eval mode")


@check("losses")
def order_of_the_batch(record: Record) -> None:
    """The rows in another order: the same mean, and the same losses in that order."""
    z, y = logits_and_labels()
    order = torch.tensor([5, 2, 11, 0, 7, 1, 9, 3, 10, 4, 8, 6])
    for reduction in ("mean", "none"):
        loss = build(record, class_counts=COUNTS, reduction=reduction)
        features = _features(len(z))
        one, other = (
            loss(z, y, features=features),
            loss(z[order], y[order], features=features[order]),
        )
        close(other, one if reduction == "mean" else one[order], what=reduction)


@check("losses")
def renaming_classes(record: Record) -> None:
    """Counts, logits and labels renamed together: nothing changes."""
    z, y = logits_and_labels()
    for weight in (None, part("inverse_frequency"), part("effective_number", beta=0.99)):
        extra = {} if weight is None else {"weight": weight}
        one = build(record, class_counts=COUNTS, **extra)
        other = build(record, class_counts=torch.tensor(COUNTS)[RENAMED], **extra)
        new = torch.argsort(RENAMED)[y]
        close(_value(other, z[:, RENAMED], new), _value(one, z, y), what=str(weight))


@check("losses")
def class_with_one_sample(record: Record) -> None:
    """The largest imbalance there is: a class with one sample beside a million."""
    z, y = logits_and_labels(classes=3)
    z.requires_grad_()
    value = _value(build(record, class_counts=(1_000_000, 1, 50)), z, y)
    (grad,) = torch.autograd.grad(value, z)
    assert torch.isfinite(value)
    assert torch.isfinite(grad).all()


@check("losses")
def class_without_samples(record: Record) -> None:
    """The zero-count policy rules: an error, counts plus one, or a masked class."""
    counts = (30, 0, 5)
    raises_two_lines(DataError, lambda: build(record, class_counts=counts))
    z, y = logits_and_labels(classes=3)
    smooth = build(record, class_counts=ClassStats(counts, on_empty="smooth"))
    assert torch.isfinite(_value(smooth, z, y))
    close(_value(smooth, z, y), _value(build(record, class_counts=(31, 1, 6)), z, y))
    seen = y != 1
    z = z[seen].requires_grad_()
    ignoring = build(record, class_counts=ClassStats(counts, on_empty="ignore"))
    value = _value(ignoring, z, y[seen])
    (grad,) = torch.autograd.grad(value, z)
    assert torch.isfinite(value)
    assert torch.isfinite(grad).all()


@check("losses")
def batch_of_one(record: Record) -> None:
    """One row is a batch: its loss is the row's."""
    z, y = logits_and_labels(rows=1)
    loss = build(record, class_counts=COUNTS)
    each = build(record, class_counts=COUNTS, reduction="none")
    close(_value(loss, z, y), _value(each, z, y)[0])


@check("losses", tag="reduces_to_ce")
def uniform_counts_are_cross_entropy(record: Record) -> None:
    """With equal counts there is nothing to correct."""
    z, y = logits_and_labels()
    loss = build(record, class_counts=[40] * CLASSES)
    close(_value(loss, z, y), F.cross_entropy(z, y))


@check("losses", without="reduces_to_ce")
def is_not_cross_entropy(record: Record) -> None:
    """A loss that does not say it reduces to cross-entropy is another loss."""
    z, y = logits_and_labels()
    assert (
        abs(float(_value(build(record, class_counts=COUNTS), z, y) - F.cross_entropy(z, y))) > 1e-4
    )


@check("losses")
def half_precision(record: Record) -> None:
    """Extreme logits in float16 and bfloat16, under autocast too: the float32 value."""
    z, y = logits_and_labels()
    rows = torch.tensor([[6e4, -6e4, 0, 3, 1], [-6e4, 6e4, 6e4, 0, 0], [0, 0, 0, 0, 0]])
    z = torch.cat([z.float(), rows])
    y = torch.cat([y, torch.tensor([1, 1, 4])])
    loss = build(record, class_counts=COUNTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no scaled cosine is that large, as a first call is told
        _value(loss, z, y)
    for dtype in HALVES:
        low = z.to(dtype).requires_grad_()
        value = _value(loss, low, y)
        (grad,) = torch.autograd.grad(value, low)
        assert value.dtype == torch.float32, str(dtype)
        assert torch.isfinite(value), str(dtype)
        assert torch.isfinite(grad).all(), str(dtype)
        close(value, _value(loss, z.to(dtype).float(), y), tol=1e-6, what=str(dtype))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            close(_value(loss, low, y), value, tol=1e-6, what=f"autocast {dtype}")


@check("losses")
def survives_half_modules(record: Record) -> None:
    """``module.half()`` leaves priors, margins and weights wide enough."""
    z, y = logits_and_labels()
    weight = part("effective_number", beta=0.9)
    loss = build(record, class_counts=COUNTS, weight=weight)
    close(_value(copy.deepcopy(loss).half(), z, y), _value(loss, z, y), tol=1e-6)


@check("losses")
def soft_targets(record: Record) -> None:
    """A one-hot target is the label; a soft one weighs the losses of the labels."""
    z, y = logits_and_labels()
    for extra in ({}, {"weight": part("inverse_frequency")}):
        loss = build(record, class_counts=COUNTS, reduction="none", **extra)
        hot = F.one_hot(y, CLASSES).double()
        close(_value(loss, z, hot), _value(loss, z, y), what="one-hot")
        q = torch.softmax(0.3 * z.flip(0), 1)
        columns = torch.stack([_value(loss, z, torch.full_like(y, c)) for c in range(CLASSES)], 1)
        close(_value(loss, z, q), (q * columns).sum(1), what="soft")


@check("losses")
def mixed_targets(record: Record) -> None:
    """``lam l(z, y) + (1 - lam) l(z, y')``, a mixed row counting once."""
    z, y = logits_and_labels()
    loss = build(record, class_counts=COUNTS)
    other = y.flip(0)
    share = torch.linspace(0.1, 0.9, len(y), dtype=torch.float64)
    top, bottom = loss.mixed_sums(z, [(y, share), (other, 1 - share)], features=_features(len(z)))
    each = build(record, class_counts=COUNTS, reduction="none")
    expected = share * _value(each, z, y) + (1 - share) * _value(each, z, other)
    close(top / bottom, expected.mean())


@check("losses", without="features")
def row_and_class_forms_agree(record: Record) -> None:
    """``per_class`` holds at the label what ``per_sample`` gives."""
    z, y = logits_and_labels()
    loss = build(record, class_counts=COUNTS)
    close(loss.per_class(z).gather(1, y[:, None])[:, 0], loss.per_sample(z, y))


@check("losses", when=lambda r: r.name in functional.__all__)
def function_and_module_agree(record: Record) -> None:
    """The function of the same name, with the module's hyper-parameters, gives its rows."""
    z, y = logits_and_labels()
    loss = build(record, class_counts=COUNTS)
    function = getattr(functional, record.name)
    named = [p for p in inspect.signature(function).parameters if p not in ("logits", "target")]
    given = {k: getattr(loss, k) for k in named if k in vars(loss)}
    close(function(z, y, **given), loss.per_sample(z, y))


@check("losses")
def prior_offset_is_the_formula(record: Record) -> None:
    """A loss that names an offset ``a`` is cross-entropy of ``z + a``."""
    z, y = logits_and_labels()
    loss = built(record, class_counts=COUNTS)
    offset = loss.prior_offset()
    made = built if loss.noisy else build  # without its noise a loss may be cross-entropy
    rows = _value(made(record, class_counts=COUNTS, reduction="none"), z, y)
    if offset is None:
        ce = F.cross_entropy(z, y, reduction="none")
        assert not torch.allclose(rows, ce), "cross-entropy has an offset: zero"
        return
    assert offset.shape == (CLASSES,)
    close(rows, F.cross_entropy(z + offset, y, reduction="none"))


@check("losses", tag="needs_counts")
def unbound_use(record: Record) -> None:
    """Without class counts it says so, in two lines; ``bind`` brings them."""
    z, y = logits_and_labels()
    loss = build(record)
    raises_two_lines(UnboundPartError, lambda: _value(loss, z, y))
    loss.bind(ClassStats(COUNTS))
    close(_value(loss, z, y), _value(build(record, class_counts=COUNTS), z, y))


@check("losses", without="needs_counts")
def works_unbound(record: Record) -> None:
    """A loss that declares no need for class counts works without."""
    z, y = logits_and_labels()
    assert torch.isfinite(_value(build(record), z, y))
    weighted = build(record, weight=part("inverse_frequency"))
    raises_two_lines(UnboundPartError, lambda: _value(weighted, z, y))


@check("losses")
def copies_and_pickles(record: Record) -> None:
    """A copy, a pickle and a loaded state dict give the same numbers."""
    z, y = logits_and_labels()
    loss = build(record, class_counts=COUNTS, weight=part("effective_number", beta=0.99))
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        close(_value(twin, z, y), _value(loss, z, y), tol=0)
    fresh = build(record, class_counts=COUNTS, weight=part("effective_number", beta=0.99))
    fresh.load_state_dict(loss.state_dict())
    close(_value(fresh, z, y), _value(loss, z, y), tol=0)


@check("losses")
def reductions(record: Record) -> None:
    """``none`` gives rows; ``sum`` adds them; means divide by rows or by their weights."""
    z, y = logits_and_labels()
    weight = part("inverse_frequency")
    rows = _value(build(record, class_counts=COUNTS, weight=weight, reduction="none"), z, y)
    own = build(record, class_counts=COUNTS, weight=weight).class_weight()[y]
    assert rows.shape == y.shape
    for reduction, expected in (
        ("sum", rows.sum()),
        ("mean", rows.mean()),
        ("weighted_mean", rows.sum() / own.sum()),
    ):
        loss = build(record, class_counts=COUNTS, weight=weight, reduction=reduction)
        close(_value(loss, z, y), expected, what=reduction)
        top, bottom = loss.sums(z, y, features=_features(len(z)))
        close(top / bottom, expected, what=f"sums of {reduction}")


@check("losses")
def ignored_and_weighted_rows(record: Record) -> None:
    """An ignored row is not there; a sample weight multiplies its row."""
    z, y = logits_and_labels()
    loss = build(record, class_counts=COUNTS)
    marked = y.clone()
    marked[3:5] = loss.ignore_index
    kept = marked != loss.ignore_index
    h = _features(len(z))
    close(_value(loss, z, marked), _value(loss, z[kept], y[kept], h[kept]), what="ignored")
    each = build(record, class_counts=COUNTS, reduction="none")
    v = torch.linspace(0, 2, len(y), dtype=torch.float64)
    close(_value(each, z, y, sample_weight=v), v * _value(each, z, y), what="weighted")


@check("losses")
def dense_logits(record: Record) -> None:
    """``(N, C, d1)`` logits are ``N d1`` rows."""
    z, y = logits_and_labels()
    loss = build(record, class_counts=COUNTS)
    dense, h = (t.reshape(3, 4, -1).movedim(2, 1) for t in (z, _features(len(z))))
    close(_value(loss, dense, y.reshape(3, 4), h), _value(loss, z, y))


@check("losses", tag="shift_invariant")
def constant_added_to_logits(record: Record) -> None:
    """The same number added to all logits of a row changes nothing."""
    z, y = logits_and_labels()
    loss = build(record, class_counts=COUNTS)
    close(_value(loss, z + torch.linspace(-5, 5, len(z))[:, None], y), _value(loss, z, y), tol=1e-8)


@check("losses")
def refuses_what_does_not_fit(record: Record) -> None:
    """Wrong shapes, a label out of range, an unknown reduction: two lines each."""
    z, y = logits_and_labels()
    loss = build(record, class_counts=COUNTS)
    bad = y.clone()
    bad[0] = CLASSES
    for call in (
        lambda: _value(loss, z[:, :3], y.clamp(max=2)),
        lambda: _value(loss, z, y[:-1]),
        lambda: _value(loss, z, bad),
        lambda: build(record, class_counts=COUNTS, reduction="average"),
        lambda: build(record, class_counts=COUNTS, weight=[1.0, 2.0]),
    ):
        raises_two_lines(LongtailError, call)
