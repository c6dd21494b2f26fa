"""Checks of batch transforms."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import torch
from torch import Tensor

from longtail.registry import Record
from longtail.testing.contract import check
from longtail.testing.tools import build, close, generator
from longtail.types import Batch

__all__: list[str] = []

ROWS = 9


def _view(channels: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(ROWS, channels, 8, 10, generator=generator(5)).to(dtype)


def _numbers(rows: int, width: int, seed: int = 6) -> Tensor:
    return torch.rand(rows, width, generator=generator(seed))


def _batch() -> Batch:
    labels = torch.arange(ROWS) % 4
    return Batch((_view(), _view(1)), labels, torch.arange(ROWS))


def _mix(transform: Any, batch: Batch, seed: int = 7) -> Batch:
    u = _numbers(len(batch), transform.draws, seed)
    s = _numbers(1, transform.step_draws, seed)[0].double()
    mixed = transform(batch, u, s)
    assert isinstance(mixed, Batch)
    return mixed


@check("augments", tag="view")
def keeps_shape_and_range(record: Record) -> None:
    """Same shape and dtype, values in ``[0, 1]``, for one and three channels."""
    transform = build(record)
    for channels in (1, 3):
        x = _view(channels)
        out = transform(x, _numbers(ROWS, transform.draws))
        assert out.shape == x.shape
        assert out.dtype == x.dtype
        assert bool(((out >= 0) & (out <= 1)).all())


@check("augments", tag="view")
def leaves_its_input(record: Record) -> None:
    """The given view stays as it is."""
    transform = build(record)
    x = _view()
    before = x.clone()
    u = _numbers(ROWS, transform.draws)
    kept = u.clone()
    transform(x, u)
    assert torch.equal(x, before)
    assert torch.equal(u, kept)


@check("augments", tag="view")
def a_row_depends_on_its_numbers_only(record: Record) -> None:
    """A row comes out alike alone and in any batch; the same numbers give the same row."""
    transform = build(record)
    x, u = _view(), _numbers(ROWS, transform.draws)
    whole = transform(x, u)
    assert torch.equal(transform(x, u), whole)
    for i in (0, 4, ROWS - 1):
        close(transform(x[i : i + 1], u[i : i + 1])[0], whole[i], tol=1e-6)


@check("augments", tag="view", when=lambda r: r.name != "identity")
def does_something(record: Record) -> None:
    """Some row changes, and other numbers give other rows."""
    transform = build(record)
    assert transform.draws > 0
    x = _view()
    one = transform(x, _numbers(ROWS, transform.draws))
    assert not torch.equal(one, x)
    assert not torch.equal(one, transform(x, _numbers(ROWS, transform.draws, 8)))


@check("augments", tag="mix")
def mixing_weights(record: Record) -> None:
    """The targets of a row have weights in ``[0, 1]`` that add up to one."""
    batch = _batch()
    mixed = _mix(build(record), batch)
    assert len(mixed) == ROWS
    weights = torch.stack([w for _, w in mixed.mixed])
    assert bool(((weights >= 0) & (weights <= 1)).all())
    close(weights.sum(0), torch.ones(ROWS), tol=1e-6)
    for target, _ in mixed.mixed:
        assert target.shape == batch.target.shape
        assert set(target.tolist()) <= set(batch.target.tolist())


@check("augments", tag="mix")
def mixed_views(record: Record) -> None:
    """Views keep shape, dtype and range; one row is mixed alike in all of them."""
    batch = _batch()
    mixed = _mix(build(record), batch)
    for old, new in zip(batch.views, mixed.views, strict=True):
        assert new.shape == old.shape
        assert new.dtype == old.dtype
        assert bool(((new >= -1e-6) & (new <= 1 + 1e-6)).all())
        assert not torch.equal(new, old)


@check("augments", tag="mix")
def leaves_the_batch(record: Record) -> None:
    """The given batch stays as it is."""
    batch = _batch()
    before = copy.deepcopy(batch)
    _mix(build(record), batch)
    assert all(torch.equal(a, b) for a, b in zip(batch.views, before.views, strict=True))
    assert torch.equal(batch.target, before.target)
    assert not batch.mixed


@check("augments", tag="mix")
def same_numbers_same_mix(record: Record) -> None:
    """A pure function of the batch and the numbers."""
    one, other = _mix(build(record), _batch()), _mix(build(record), _batch())
    assert torch.equal(one.views[0], other.views[0])
    third = _mix(build(record), _batch(), seed=9)
    assert not torch.equal(one.views[0], third.views[0])


@check("augments", tag="mix")
def batch_of_one(record: Record) -> None:
    """A single row has only itself to mix with."""
    batch = _batch()
    one = Batch(tuple(v[:1] for v in batch.views), batch.target[:1], batch.index[:1])
    mixed = _mix(build(record), one)
    close(torch.stack([w for _, w in mixed.mixed]).sum(), 1.0, tol=1e-6)
    close(mixed.views[0], one.views[0], tol=1e-5)


@check("augments")
def copies_and_pickles(record: Record) -> None:
    """A pickle has the same hyper-parameters and asks for as many numbers."""
    transform = build(record)
    twin = pickle.loads(pickle.dumps(transform))
    assert repr(twin) == repr(transform)
    assert twin.draws == transform.draws
