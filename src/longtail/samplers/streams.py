"""Class re-balancing of streams: what can be decided with no more than the labels so far."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from longtail.errors import CheckpointError, ConfigError, DataError, UnknownNameError
from longtail.samplers.checks import class_ids, finite, named_numbers, whole

__all__ = ["RejectionSampler", "Reservoir", "last"]

Item = TypeVar("Item")
_MASK = (1 << 64) - 1
_MOST = 1 << 24  # class ids of a memory: it holds a number for each below the largest


def last(item: Any) -> Any:
    """The label, or labels, of an ``(input, ..., label)`` item."""
    try:
        return item[-1]
    except (TypeError, LookupError):
        raise DataError(
            f"a {type(item).__name__} of the stream is no (input, ..., label)",
            "say what its label is: label=lambda item: ...",
        ) from None


def _uniform(seed: int, number: int) -> float:
    """Number ``number`` of a stream of uniform numbers in ``[0, 1)`` (SplitMix64)."""
    x = (seed * 0xD1342543DE82EF95 + (number + 1) * 0x9E3779B97F4A7C15) & _MASK
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = ((x ^ (x >> shift)) * factor) & _MASK
    return ((x ^ (x >> 31)) >> 11) * 2.0**-53


class Reservoir:
    """A memory of ``m`` items of a stream in which every class gets its share.

    Class ``i`` of ``n_i`` items so far is to hold ``m_i = m p_i`` slots, ``p_i ~ n_i ** rho``. An
    item is taken with probability ``sum_i softmax(-n)_i min(1, m_i / n_i)`` over its classes, which
    for one label is ``min(1, m_y / n_y)``; while the memory is not full every item is. Its slot is
    that of an item of a class picked by ``softmax(l_i - p_i sum l)`` among those that hold slots
    (``l_i`` of them): of its items one with the fewest classes that are under their share, and
    among these the one without which ``sum_i |l_i - p_i sum l|`` is smallest.

    Args:
        size: ``m``, at least as many as there are classes.
        rho: 0 gives all classes equal shares, 1 the shares they have in the stream.
        seed: of the choices; offer ``t`` is a function of seed, ``t`` and the state.

    Raises:
        DataError: there are more classes than slots.

    Reference: after Kim, Jeong and Kim, *Imbalanced continual learning with partitioning
    reservoir sampling*, ECCV 2020.
    """

    def __init__(self, size: int, *, rho: float = 0.0, seed: int = 0) -> None:
        self.size = whole("size", size, "try 1000")
        self.seed = whole("seed", seed, "for example seed=0", least=None)
        power = finite(rho)
        if power is None or not 0 <= power <= 1:
            raise ConfigError(f"rho must lie in [0, 1], not {rho}", "0 gives classes equal shares")
        self.rho = power
        self.offers = 0
        self.labels: list[tuple[int, ...]] = []
        self._classes = 0
        self._seen = np.zeros(0, dtype=np.int64)
        self._held = np.zeros(0, dtype=np.int64)
        self._groups: dict[tuple[int, ...], list[int]] = {}

    def offer(self, label: Any) -> int | None:
        """Show the label of the next item; the slot it shall be written to, or ``None``.

        Args:
            label: class id, or all class ids of the item; numbers, arrays or tensors.

        Raises:
            DataError: a label is no class id, or there are more classes than slots; the memory
                stays as it was.
        """
        own = class_ids(label)
        if own[-1] >= _MOST:
            raise DataError(f"an item has the label {own[-1]}", f"class ids lie below {_MOST}")
        known = self._seen
        new = sum(c >= len(known) or not known[c] for c in own)
        if self._classes + new > self.size:
            raise DataError(
                f"the stream has more than {self.size} classes, a memory of {self.size} cannot hold them",
                "give the reservoir at least one slot a class, better ten",
            )
        self._grow(own[-1] + 1)
        at, self.offers = 3 * self.offers, self.offers + 1
        self._classes += new
        self._seen[list(own)] += 1
        if len(self.labels) < self.size:
            self.labels.append(own)
            return self._put(len(self.labels) - 1, own)
        if _uniform(self.seed, at) >= self._chance(own):
            return None
        slot = self._leaving(_uniform(self.seed, at + 1), _uniform(self.seed, at + 2))
        gone = self.labels[slot]
        self._groups[gone].remove(slot)
        for c in gone:
            self._held[c] -= 1
        self.labels[slot] = own
        return self._put(slot, own)

    def shares(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """``(C,)`` shares ``p_i`` that the classes are to have; zero for one not seen."""
        there = self._seen > 0
        weight = (
            there.astype(np.float64) if self.rho == 0 else self._seen ** float(self.rho) * there
        )
        return np.asarray(weight / weight.sum(), dtype=np.float64)

    @property
    def held(self) -> list[int]:
        """Slots that each class holds."""
        return [int(n) for n in self._held]

    def replay(self, items: Iterable[Item], label: Callable[[Item], Any] = last) -> Iterator[Item]:
        """Each item of a stream, followed by one drawn evenly from the memory.

        Args:
            items: the stream; what the memory keeps of it is kept as it is.
            label: its label, or labels; absent, the last entry of the item.
        """
        memory: list[Item] = []
        for item in items:
            slot = self.offer(label(item))
            if slot is not None:
                memory[slot : slot + 1] = [item]
            yield item
            drawn = _uniform(~self.seed, self.offers)
            yield memory[int(drawn * len(memory))]

    def state_dict(self) -> dict[str, Any]:
        """Everything the next offer depends on, as plain numbers."""
        return {
            "size": self.size,
            "rho": self.rho,
            "seed": self.seed,
            "offers": self.offers,
            "seen": self._seen.tolist(),
            "labels": [list(own) for own in self.labels],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken.

        Raises:
            CheckpointError: it is no state of a reservoir.
            ConfigError: it is that of another number of slots.
        """
        _check_state(self, state)
        if state["size"] != self.size:
            raise ConfigError(
                f"the state is that of {state['size']} slots, this reservoir has {self.size}",
                f"make it Reservoir({state['size']})",
            )
        self.rho, self.seed, self.offers = state["rho"], state["seed"], state["offers"]
        self.labels = [class_ids(own) for own in state["labels"]]
        self._seen = np.asarray(state["seen"], dtype=np.int64)
        self._held = np.zeros(len(self._seen), dtype=np.int64)
        self._classes = int((self._seen > 0).sum())
        self._groups = {}
        for slot, own in enumerate(self.labels):
            self._put(slot, own)

    def _put(self, slot: int, own: tuple[int, ...]) -> int:
        bisect.insort(self._groups.setdefault(own, []), slot)
        for c in own:
            self._held[c] += 1
        return slot

    def _grow(self, classes: int) -> None:
        if classes > len(self._seen):
            more = np.zeros(classes - len(self._seen), dtype=np.int64)
            self._seen = np.concatenate([self._seen, more])
            self._held = np.concatenate([self._held, more])

    def _chance(self, own: tuple[int, ...]) -> float:
        if self.rho == 0 and len(own) == 1:
            return self.size / self._classes / int(self._seen[own[0]])
        share = self.shares()
        n = self._seen[list(own)].astype(np.float64)
        weight = np.exp(n.min() - n)
        room = np.minimum(1.0, self.size * share[list(own)] / n)
        return float((weight * room).sum() / weight.sum())

    def _leaving(self, u: float, v: float) -> int:
        """The slot to give up."""
        share = self.shares()
        over = self._held - share * self._held.sum()
        weight = np.where(self._held > 0, np.exp(over - over.max()), 0.0)
        cuts = np.cumsum(weight)
        picked = min(int(np.searchsorted(cuts, u * cuts[-1], side="right")), len(cuts) - 1)
        alone = self._groups.get((picked,), [])
        if len(alone) == self._held[picked]:  # all its items have this label only
            return alone[int(v * len(alone))]
        under = {int(c) for c in np.flatnonzero((over <= 0) & (self._seen > 0))}
        groups = [g for g, slots in self._groups.items() if slots and picked in g]
        ranked = sorted((len(under & set(g)), self._gap(g, share), g) for g in groups)
        best = [g for g in ranked if g[0] == ranked[0][0] and g[1] <= ranked[0][1] + 1e-9]
        slots = sorted(slot for _, _, g in best for slot in self._groups[g])
        return slots[int(v * len(slots))]

    def _gap(self, own: tuple[int, ...], share: np.ndarray[Any, Any]) -> float:
        """``sum_i |l_i - p_i sum l|`` without an item of these labels."""
        held = self._held.astype(np.float64)
        held[list(own)] -= 1
        return float(np.abs(held - share * held.sum()).sum())


class RejectionSampler:
    """Lets items of a stream pass so that the classes of those that do are as wanted.

    An item of class ``y`` passes with probability ``(t_y / n_y) / max_c (t_c / n_c)``: the most that
    any class could have. Frequencies ``n`` are those given, or else those of the stream so far
    (classes it has not shown yet do not count).

    Args:
        target: wanted shares ``t``: ``(C,)`` numbers, or class id -> share, of any scale; absent,
            all classes alike.
        counts: ``(C,)`` frequencies of the classes in the stream, of any scale, where known.
        seed: of the choices.

    Raises:
        UnknownNameError: the stream shows a class that has no share.
    """

    def __init__(
        self,
        target: Sequence[float] | Mapping[int, float] | None = None,
        *,
        counts: Sequence[float] | None = None,
        seed: int = 0,
    ) -> None:
        self.target: Any = target
        self.counts: Any = counts
        self.seed = whole("seed", seed, "for example seed=0", least=None)
        self._share = None if target is None else named_numbers("target", target)
        self._known = None if counts is None else named_numbers("counts", counts)
        if self._known is not None:
            for c in self._share or ():
                if c not in self._known:
                    raise UnknownNameError("class called", c, [str(k) for k in self._known])
        self.offers = 0
        self._seen: dict[int, int] = {}

    def accept(self, label: Any) -> bool:
        """Show the label of the next item: whether it passes.

        Args:
            label: class id: a number, or an array or a tensor of one.

        Raises:
            DataError: the label is no class id, or the item has several.
        """
        label, *more = class_ids(label)
        if more:
            raise DataError(
                f"an item has the labels {[label, *more]}, a ratio of classes is of one each",
                "give label=, a function that picks one; Reservoir takes several",
            )
        if self._share is not None and label not in self._share:
            raise UnknownNameError("class with a target share called", label, map(str, self._share))
        if self._known is not None and not self._known.get(label):
            raise UnknownNameError("class with a count called", label, map(str, self._known))
        self.offers += 1
        self._seen[label] = self._seen.get(label, 0) + 1
        often: Mapping[int, float] = self._seen if self._known is None else self._known
        wanted = {c: 1.0 if self._share is None else self._share.get(c, 0.0) for c in often}
        most = max(wanted[c] / n for c, n in often.items() if n)
        if most == 0:
            return False
        return _uniform(self.seed, self.offers) < wanted[label] / often[label] / most

    def filter(self, items: Iterable[Item], label: Callable[[Item], Any] = last) -> Iterator[Item]:
        """The items of a stream that pass.

        Args:
            items: the stream.
            label: its label; absent, the last entry of the item.
        """
        return (item for item in items if self.accept(label(item)))

    def state_dict(self) -> dict[str, Any]:
        """Everything the next decision depends on, as plain numbers."""
        return {
            "offers": self.offers,
            "seed": self.seed,
            "target": _pairs(self._share),
            "counts": _pairs(self._known),
            "seen": _pairs(self._seen),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken, with the target, counts and seed it was taken with.

        Raises:
            CheckpointError: it is no state of a rejection sampler.
        """
        _check_state(self, state)
        self.offers, self.seed = state["offers"], state["seed"]
        for name in ("target", "counts"):
            own = None if state[name] is None else named_numbers(name, dict(state[name]))
            setattr(self, name, own)
        self._share = None if self.target is None else dict(self.target)
        self._known = None if self.counts is None else dict(self.counts)
        self._seen = {int(c): int(n) for c, n in state["seen"]}


def _pairs(values: Mapping[int, float] | None) -> list[list[float]] | None:
    """A dictionary as plain data whose keys stay numbers in JSON."""
    return None if values is None else [[c, n] for c, n in values.items()]


def _check_state(of: Reservoir | RejectionSampler, state: Mapping[str, Any]) -> None:
    """Refuse what no ``state_dict`` of the same class gave."""
    name, keys = type(of).__name__, of.state_dict()
    missing = sorted(k for k in keys if not isinstance(state, Mapping) or k not in state)
    if missing:
        raise CheckpointError(
            f"the state of a {name} lacks {', '.join(missing)}",
            f"give what {name}.state_dict() returned",
        )
