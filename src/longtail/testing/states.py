"""Checks of losses with a state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from longtail.registry import Record
from longtail.testing.contract import check
from longtail.testing.tools import COUNTS, build, close, logits_and_labels, noise

__all__: list[str] = []


def _stateful(record: Record) -> bool:
    return bool(record.load().stateful)


def _call(loss: Any, z: Tensor, y: Tensor, h: Tensor) -> Tensor:
    value: Tensor = loss(z, y, features=h)
    return value


def _flat(loss: Any) -> Tensor:
    return torch.cat([v.double().flatten() for v in loss.state_dict().values()])


@check("losses", when=_stateful)
def state_is_of_training(record: Record) -> None:
    """Calls move buffers in training mode only, in place; a state dict carries them over."""
    (z, y), h = logits_and_labels(), noise(12, 6).double()
    loss = build(record, class_counts=COUNTS)
    before, places = _flat(loss), [b.data_ptr() for b in loss.buffers()]
    _call(loss.eval(), z, y, h)
    assert torch.equal(_flat(loss), before), "moved in eval mode"
    _call(loss.train(), z, y, h)
    assert not torch.equal(_flat(loss), before), "never moves"
    assert [b.data_ptr() for b in loss.buffers()] == places, "replaced, not written in place"
    fresh = build(record, class_counts=COUNTS)
    fresh.load_state_dict(loss.state_dict())
    close(_call(fresh, z, y, h), _call(loss, z, y, h), tol=0)


@check("losses", when=_stateful)
def state_follows_the_step(record: Record) -> None:
    """Deferred, buffers wait for ``commit``: two halves told are the whole, ``discard`` forgets."""
    (z, y), h = logits_and_labels(), noise(12, 6).double()
    whole, halves = (build(record, class_counts=COUNTS).defer() for _ in range(2))
    before = _flat(whole)
    _call(whole, z, y, h)
    assert torch.equal(_flat(whole), before), "moved before the commit"
    whole.commit()
    assert not torch.equal(_flat(whole), before), "the commit folds nothing"
    _call(halves, z, y, h)
    halves.discard()
    for rows in (slice(0, 5), slice(5, None)):
        _call(halves, z[rows], y[rows], h[rows])
    halves.commit()
    close(_flat(halves), _flat(whole), tol=1e-12)
    halves.commit()
    close(_flat(halves), _flat(whole), tol=1e-12, what="a second commit has nothing to fold")


@check("losses", when=_stateful)
def what_rows_tell(record: Record) -> None:
    """An ignored row tells nothing; a one-hot target tells its label; a mixed row tells once."""
    (z, y), h = logits_and_labels(), noise(12, 6).double()

    def after(*call: Tensor) -> Tensor:
        loss = build(record, class_counts=COUNTS)
        _call(loss, *call)
        return _flat(loss)

    plain = after(z, y, h)
    ignored = torch.full((3,), build(record).ignore_index)
    more = (torch.cat([z, z[:3]]), torch.cat([y, ignored]), torch.cat([h, h[:3]]))
    close(after(*more), plain, tol=1e-12, what="ignored")
    close(after(z, torch.eye(len(COUNTS)).double()[y], h), plain, tol=1e-12, what="one-hot")
    share = torch.full((len(y),), 0.25, dtype=torch.float64)
    mixed = build(record, class_counts=COUNTS).defer()
    mixed.mixed_sums(z, [(y, share), (y, 1 - share)], features=h)
    mixed.commit()
    close(_flat(mixed), plain, tol=1e-12, what="mixed")
