"""Checks of heads."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import torch
from torch import Tensor, nn

from longtail.errors import ConfigError, DataError, UnknownNameError
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
from longtail.types import ClassStats

__all__: list[str] = []

ROWS = 5


def _features(record: Record) -> Tensor:
    return noise(ROWS, dict(record.case)["in_features"]).requires_grad_()


@check("heads")
def shapes_and_gradients(record: Record) -> None:
    """``(B, D)`` to ``(B, C)`` (a projector: ``(B, d)``); a gradient for every parameter."""
    head = build(record)
    out = head(_features(record))
    width = head.out_features if "projector" in record.tags else head.num_classes
    assert out.shape == (ROWS, width)
    assert out.dtype == torch.float32
    all_gradients(head, (out * noise(*out.shape)).sum())


@check("heads")
def eval_is_deterministic(record: Record) -> None:
    """No state moves; a state dict and a pickle give the same outputs."""
    head, x = build(record), _features(record)
    deterministic(head, lambda: head(x))
    other = build(record)
    with torch.random.fork_rng(devices=[]):
        other.reset_parameters()
    same_state(head, other, lambda module: module(x))
    close(pickle.loads(pickle.dumps(head))(x), head(x), tol=0)


@check("heads")
def fresh_weights_come_from_torch(record: Record) -> None:
    """``reset_parameters`` draws from torch's generator: same seed, same weights."""
    head = build(record)
    first = [p.clone() for p in head.state_dict().values()]
    drawn = []
    for seed in (11, 11, 12):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            head.reset_parameters()
        drawn.append([p.clone() for p in head.state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(drawn[0], drawn[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(drawn[0], drawn[2], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(drawn[0], first, strict=True))


@check("heads", without="projector")
def renaming_classes(record: Record) -> None:
    """Rows of the weight renamed: columns of the logits renamed."""
    head, x = build(record), _features(record)
    order = torch.tensor([2, 0, 3, 1])
    before = head(x)
    with torch.no_grad():
        head.weight.copy_(head.weight[order].clone())
        if head.bias is not None:
            head.bias.copy_(head.bias[order].clone())
    close(head(x), before[:, order], tol=1e-6)


@check("heads", tag="cosine")
def logits_are_scaled_cosines(record: Record) -> None:
    """``|z| <= scale``; the length of a feature does not matter."""
    head, x = build(record), _features(record)
    z = head(x).detach()
    assert float(z.abs().max()) <= head.scale * (1 + 1e-5)
    close(head(7.0 * x), z, tol=1e-4)
    cosine = nn.functional.cosine_similarity(x[:, None], head.weight[None], dim=2)
    close(z, head.scale * cosine, tol=1e-4)


def _training_rows(record: Record) -> tuple[Tensor, Tensor]:
    """Rows of four classes, one of which has a single row."""
    y = torch.tensor([0] * 9 + [1] * 5 + [2] * 7 + [3])
    x = noise(len(y), dict(record.case)["in_features"], seed=4)
    return x + 2 * torch.eye(4, x.shape[1])[y], y


def _fitted(record: Record, x: Tensor, y: Tensor, policy: str = "error") -> Any:
    counts = torch.bincount(y, minlength=4)
    return build(record).fit(x, y, ClassStats(counts, on_empty=policy)).eval()


@check("heads", tag="fitted")
def fitted_from_rows(record: Record) -> None:
    """Training mode stays linear; eval mode answers with the fit, whatever the order of rows."""
    (x, y), new = _training_rows(record), _features(record)
    head = _fitted(record, x, y)
    out = head(new)
    assert out.shape == (ROWS, 4)
    assert not torch.allclose(out, head.train()(new))
    close(head(new), build(record)(new), tol=1e-6)
    order = torch.randperm(len(y), generator=generator(5))
    close(_fitted(record, x[order], y[order])(new), out, tol=1e-4)
    with torch.random.fork_rng(devices=[]):
        head.reset_parameters()
    assert not head.fitted


@check("heads", tag="fitted")
def a_fit_is_saved(record: Record) -> None:
    """A state dict carries the fit to a head that was built alike."""
    (x, y), new = _training_rows(record), _features(record)
    head, other = _fitted(record, x, y), build(record)
    same_state(head, other, lambda module: module(new))
    deterministic(head, lambda: head(new))


@check("heads", tag="fitted")
def a_fit_follows_the_names_of_classes(record: Record) -> None:
    """Labels renamed: columns renamed."""
    (x, y), new = _training_rows(record), _features(record)
    order = torch.tensor([2, 0, 3, 1])
    renamed = _fitted(record, x, torch.argsort(order)[y])
    close(renamed(new), _fitted(record, x, y)(new)[:, order], tol=1e-4)


@check("heads", tag="fitted")
def a_class_without_rows(record: Record) -> None:
    """An error, or by policy a class that is never answered; the others are as before."""
    (x, y), new = _training_rows(record), _features(record)
    rows = y != 1
    raises_two_lines(
        DataError,
        lambda: build(record).fit(x[rows], y[rows], ClassStats([9, 1, 7, 1])),
    )
    for policy in ("ignore", "smooth"):
        out = _fitted(record, x[rows], y[rows], policy)(new).detach()
        assert torch.isfinite(out).all()
        assert float(out.softmax(1)[:, 1].max()) == 0
    raises_two_lines(DataError, lambda: build(record).fit(x[:3], y, ClassStats([9, 5, 7, 1])))
    spoilt = x.clone()
    spoilt[0, 0] = torch.nan
    raises_two_lines(DataError, lambda: _fitted(record, spoilt, y))


def _warmed(record: Record, x: Tensor, y: Tensor) -> Any:
    """Filled from rows, in eval mode."""
    if "fitted" in record.tags:
        return _fitted(record, x, y)
    head = build(record)
    head.fold(head.watch(x, [(y, None)]))
    return head.eval()


@check("heads", tag="moving")
def moving_statistics(record: Record) -> None:
    """Only ``fold`` moves them, in place; a batch cut in two shows what the whole shows."""
    (x, y), new = _training_rows(record), _features(record)
    head = build(record)
    before = {k: v.clone() for k, v in head.state_dict().items()}
    whole = head.watch(x, [(y, None)])
    head(x)
    assert all(torch.equal(v, before[k]) for k, v in head.state_dict().items())
    one, other = head.watch(x[:9], [(y[:9], None)]), head.watch(x[9:], [(y[9:], None)])
    for name, value in whole.items():
        close(one[name] + other[name], value, tol=1e-5)
    cold = build(record).eval()(new).detach()
    assert torch.isfinite(cold).all()
    places = {k: v.data_ptr() for k, v in head.named_buffers()}
    head.fold(whole)
    assert {k: v.data_ptr() for k, v in head.named_buffers()} == places
    assert not torch.allclose(head.eval()(new).detach(), cold)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        head.reset_parameters()
    fresh = build(record).state_dict()
    moved = dict(head.named_buffers())
    assert all(torch.equal(v, fresh[k]) for k, v in moved.items())


@check("heads", tag="choices")
def choices_are_state(record: Record) -> None:
    """Each choice gives other logits in eval mode and travels in the state dict."""
    (x, y), new = _training_rows(record), _features(record)
    head = _warmed(record, x, y)
    seen = []
    assert head.choice() in head.choices()
    for option in head.choices():
        head.use(option)
        assert head.choice() == option
        seen.append(head(new))
        other = build(record)
        same_state(head, other, lambda module: module(new))
        assert other.choice() == option
    pairs = itertools.combinations(seen, 2)
    assert len(seen) > 1
    assert not any(torch.allclose(a, b, atol=1e-6) for a, b in pairs)
    raises_two_lines((ConfigError, UnknownNameError), lambda: head.use("no such choice"))


@check("heads", without="choices", when=lambda r: "projector" not in r.tags)
def nothing_to_choose(record: Record) -> None:
    """A head without a free setting says so."""
    assert list(build(record).choices()) == []
    assert build(record).choice() is None
    raises_two_lines(ConfigError, lambda: build(record).use(1))


@check("heads")
def refuses_what_does_not_fit(record: Record) -> None:
    """Sizes that no head has: two lines."""
    case = dict.fromkeys(dict(record.case), 0)
    if "projector" in record.tags:
        case = {"in_features": 6, "num_classes": 4, "out_features": 0}
    raises_two_lines(ConfigError, lambda: record.load()(**case))
