"""Checks of samplers."""

from __future__ import annotations

import pickle
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from longtail.errors import DataError, UnboundPartError
from longtail.registry import Record
from longtail.testing.contract import check
from longtail.testing.tools import CLASSES, COUNTS, RENAMED, build, close, labels, raises_two_lines

__all__: list[str] = []

EPOCHS = 60


def _sampler(record: Record, **extra: Any) -> Any:
    sampler = build(record, **{"labels": labels(), "seed": 3, **extra})
    sampler.epochs = EPOCHS
    return sampler


def _shares(rows: Tensor, y: Tensor) -> Tensor:
    return torch.bincount(y[rows], minlength=CLASSES).double() / len(rows)


@check("samplers")
def an_epoch_is_n_positions(record: Record) -> None:
    """``N`` int64 positions of the data, in every epoch."""
    sampler = _sampler(record)
    n = sum(COUNTS)
    assert len(sampler) == n
    for epoch in (0, 1, EPOCHS - 1):
        rows = sampler.draw(epoch)
        assert rows.shape == (n,)
        assert rows.dtype == torch.int64
        assert int(rows.min()) >= 0
        assert int(rows.max()) < n


@check("samplers")
def frequencies_match(record: Record) -> None:
    """Over a stage, classes come as often as ``class_marginal`` says."""
    y = labels()
    sampler = _sampler(record)
    for epochs in (range(EPOCHS // 3), range(EPOCHS)):
        shares = torch.stack([_shares(sampler.draw(e), y) for e in epochs]).mean(0)
        said = [sampler.class_marginal(e / (EPOCHS - 1)) for e in epochs]
        expected = torch.stack(said).mean(0)
        noise = (expected * (1 - expected) / (len(epochs) * len(y))).sqrt()
        assert bool(((shares - expected).abs() <= 5 * noise + 2e-3).all()), (shares, expected)


@check("samplers")
def marginal_is_a_distribution(record: Record) -> None:
    """``(C,)`` float64, not negative, adding up to one, at any moment."""
    sampler = _sampler(record)
    for fraction in (0.0, 0.3, 0.5, 1.0):
        p = sampler.class_marginal(fraction)
        assert p.shape == (CLASSES,)
        assert p.dtype == torch.float64
        assert bool((p >= 0).all())
        close(p.sum(), 1.0)


@check("samplers")
def rows_of_a_class_come_alike(record: Record) -> None:
    """Within a class no row is preferred, and each comes where the class is drawn often."""
    y = labels((40, 3, 9, 6, 1))
    sampler = _sampler(record, labels=y)
    rows = torch.cat([sampler.draw(e) for e in range(EPOCHS)])
    seen = torch.bincount(rows, minlength=len(y)).double()
    for c in range(CLASSES):
        own = seen[y == c]
        assert float(own.mean()) < 12 or bool((own > 0).all()), f"rows of class {c} never come"
        spread = (own - own.mean()).abs().max()
        assert float(spread) <= 5 * float(own.mean().sqrt()) + 2, f"class {c}: {own.tolist()}"


@check("samplers")
def same_seed_same_draw(record: Record) -> None:
    """A draw is a function of seed and epoch: not of history, and not of another seed."""
    one, other = _sampler(record), _sampler(record)
    other.draw(5)
    assert torch.equal(one.draw(2), other.draw(2))
    assert not torch.equal(one.draw(2), one.draw(3))
    assert not torch.equal(one.draw(2), _sampler(record, seed=4).draw(2))


@check("samplers")
def every_class_is_reachable(record: Record) -> None:
    """The rarest class comes within a stage, and a class without rows never."""
    y = labels()
    sampler = _sampler(record)
    seen = torch.cat([sampler.draw(e) for e in range(EPOCHS)])
    assert set(y[seen].tolist()) == set(range(CLASSES))
    gap = torch.where(y >= 2, y + 1, y)  # class 2 has no row
    late = build(record).bind_labels(gap, CLASSES + 1, 0)
    late.epochs = EPOCHS
    p = late.class_marginal(1.0)
    assert p.shape == (CLASSES + 1,)
    assert float(p[2]) == 0.0
    assert 2 not in gap[late.draw(1)].tolist()


@check("samplers")
def ranks_unite_to_one(record: Record) -> None:
    """Processes take turns in the one list that a single process sees."""
    whole = _sampler(record).draw(1)
    for world in (2, 3):
        mine = [_sampler(record, num_replicas=world, rank=r) for r in range(world)]
        for sampler in mine:
            sampler.set_epoch(1)
        parts = [list(s) for s in mine]
        assert [len(p) for p in parts] == [len(s) for s in mine]
        joined = torch.full_like(whole, -1)
        for rank, part in enumerate(parts):
            joined[rank::world] = torch.tensor(part)
        assert torch.equal(joined, whole)


@check("samplers")
def renaming_classes(record: Record) -> None:
    """The labels renamed: the marginal renamed."""
    y = labels()
    one, other = _sampler(record), _sampler(record, labels=torch.argsort(RENAMED)[y])
    for fraction in (0.0, 0.5, 1.0):
        close(other.class_marginal(fraction), one.class_marginal(fraction)[RENAMED])


@check("samplers")
def a_loader_takes_it(record: Record) -> None:
    """Torch's own loader draws what the sampler says, epoch by epoch."""
    data = torch.arange(sum(COUNTS))
    sampler = _sampler(record)
    loader: Any = DataLoader(data, 64, sampler=sampler, generator=torch.Generator())  # type: ignore[arg-type]
    for epoch in (0, 2):
        sampler.set_epoch(epoch)
        assert torch.equal(torch.cat(list(loader)), sampler.draw(epoch))


@check("samplers")
def unbound_use(record: Record) -> None:
    """Without labels it says so, in two lines; ``bind_labels`` brings them."""
    sampler = build(record)
    raises_two_lines(UnboundPartError, lambda: sampler.draw(0))
    sampler.bind_labels(labels(), CLASSES, 3)
    sampler.epochs = EPOCHS
    assert torch.equal(sampler.draw(1), _sampler(record).draw(1))


@check("samplers")
def refuses_what_does_not_fit(record: Record) -> None:
    """Labels that are no class ids: two lines each."""
    for bad in ([], [0.5, 1.0], [-1, 0, 1], torch.zeros(2, 2, dtype=torch.int64)):
        raises_two_lines(DataError, lambda bad=bad: build(record, labels=bad))
    raises_two_lines(ValueError, lambda: _sampler(record).draw(-1))


@check("samplers")
def copies_and_pickles(record: Record) -> None:
    """A pickle draws the same."""
    sampler = _sampler(record)
    assert torch.equal(pickle.loads(pickle.dumps(sampler)).draw(4), sampler.draw(4))
