"""Checks of backbones."""

from __future__ import annotations

import pickle
from typing import Any

import torch
from torch import Tensor

from longtail.errors import UnknownNameError
from longtail.registry import Record
from longtail.testing.contract import check
from longtail.testing.tools import (
    all_gradients,
    build,
    close,
    deterministic,
    generator,
    noise,
    raises_two_lines,
    same_state,
)

__all__: list[str] = []

ROWS = 5
#: the backbone built last, and what it was built from: large ones take seconds
_LAST: list[Any] = [None, None]


def _backbone(record: Record) -> Any:
    key = (record.target, repr(record.case))
    if _LAST[0] != key:
        _LAST[:] = [key, build(record)]
    return _LAST[1]


def _inputs(backbone: Any, rows: int = ROWS) -> Tensor:
    shape = backbone.input_shape
    if hasattr(backbone, "buckets"):
        return torch.randint(0, backbone.buckets, (rows, *shape), generator=generator(4)).int()
    return noise(rows, *shape, seed=4)


def _offered(record: Record) -> bool:
    """Backbones behind an extra have no cheap case."""
    return "input_shape" in record.case and "extra" not in record.tags


@check("backbones", when=_offered)
def shapes_and_gradients(record: Record) -> None:
    """``(B, ...)`` to ``(B, D)``; a gradient for every parameter."""
    backbone = _backbone(record).train()
    out = backbone(_inputs(backbone))
    assert out.shape == (ROWS, backbone.features)
    all_gradients(backbone, (out * noise(*out.shape)).sum())


@check("backbones", when=_offered)
def eval_is_deterministic(record: Record) -> None:
    """In eval mode a row's features depend on nothing but the row."""
    backbone = _backbone(record)
    x = _inputs(backbone)
    deterministic(backbone, lambda: backbone(x))
    with torch.no_grad():
        close(backbone(x[:2]), backbone(x)[:2], tol=1e-4)


@check("backbones", when=_offered)
def cuts_compose(record: Record) -> None:
    """``forward_from(forward_to(x, cut), cut)`` is ``forward(x)`` at every cut; names are checked."""
    backbone = _backbone(record).eval()
    x = _inputs(backbone, 2)
    assert backbone.last_block_cut in backbone.cuts
    with torch.no_grad():
        whole = backbone(x)
        for cut in backbone.cuts:
            close(backbone.forward_from(backbone.forward_to(x, cut), cut), whole, tol=1e-6)
    raises_two_lines(UnknownNameError, lambda: backbone.forward_to(x, "no_such_cut"))


@check("backbones", when=_offered)
def tails_are_fresh(record: Record) -> None:
    """A tail has weights of its own, and the shape of what it replaces."""
    backbone = _backbone(record).eval()
    cut = backbone.last_block_cut
    with torch.random.fork_rng(devices=[]):
        tail = backbone.tail(cut).eval()
    x = _inputs(backbone, 2)
    with torch.no_grad():
        h = backbone.forward_to(x, cut)
        one, other = backbone.forward_from(h, cut), tail(h)
    assert other.shape == one.shape
    assert not torch.allclose(one, other)
    mine = {p.data_ptr() for p in backbone.parameters()}
    assert not mine & {p.data_ptr() for p in tail.parameters()}


@check("backbones", when=_offered, without="large")
def state_and_pickle(record: Record) -> None:
    """A state dict and a pickle give the same features."""
    backbone = _backbone(record)
    x = _inputs(backbone, 2)
    with torch.random.fork_rng(devices=[]):
        other = record.load()(**dict(record.case))
    same_state(backbone, other, lambda module: module(x))
    with torch.no_grad():
        close(pickle.loads(pickle.dumps(backbone))(x), backbone(x), tol=0)


@check("backbones")
def details_say_how_to_train_it(record: Record) -> None:
    """The engine's optimiser and rate stand in the record."""
    details = dict(record.details)
    assert details["optimizer"] in ("sgd", "adam", "adamw")
    assert 0 < float(details["lr"]) < 1
