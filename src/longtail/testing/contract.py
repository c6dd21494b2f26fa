"""Which checks a record has to pass, and which exceptions there are, each with its reason."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from longtail.registry import KINDS, Record, records
from longtail.testing.exceptions import EXCEPTIONS, UNLISTED
from longtail.testing.tools import guarded

__all__ = ["Check", "check", "checks_for", "exception_of", "identifier", "pairs", "unrepresented"]

#: modules whose import adds their checks
_TABLES = (
    "every", "losses", "states", "weights", "samplers", "augments", "heads", "backbones", "networks", "objectives",
    "adjusters", "metrics", "small", "recipes",
)  # fmt: skip

#: kind -> (packages or modules searched, base class of what must have a record)
_ROOMS: dict[str, tuple[str, str]] = {
    "losses": ("longtail.losses", "longtail.losses.base:Loss"),
    "weights": ("longtail.losses", "longtail.losses.weights:Weight"),
    "samplers": ("longtail.samplers", "longtail.samplers.base:Sampler"),
    "augments": ("longtail.augment", "longtail.types:Part"),
    "heads": ("longtail.models.heads", "torch.nn:Module"),
    "backbones": ("longtail.models", "longtail.models.backbones:Backbone"),
    "objectives": ("longtail.objectives", "longtail.objectives.base:Objective"),
    "handovers": ("longtail.engine", "longtail.engine.handover:Handover"),
    "updates": ("longtail.engine.update", "longtail.engine.update:Update"),
    "adjusters": ("longtail.posthoc", "longtail.posthoc.base:Adjuster"),
    "metrics": ("longtail.metrics", "longtail.metrics.single:Metric"),
}


@dataclass(frozen=True)
class Check:
    """One property that records of some kinds must have.

    Attributes:
        name: lower_snake; the test is called ``kind.record-name``.
        kinds: kinds of record it is for.
        run: raises ``AssertionError`` when a record lacks the property.
        applies: whether a record declares what the property speaks of.
    """

    name: str
    kinds: tuple[str, ...]
    run: Callable[[Record], None]
    applies: Callable[[Record], bool]

    def __call__(self, record: Record) -> None:
        """Run it; no check may move a global random generator."""
        with guarded():
            self.run(record)


_CHECKS: dict[tuple[tuple[str, ...], str], Check] = {}


def check(
    *kinds: str,
    tag: str = "",
    without: str = "",
    when: Callable[[Record], bool] | None = None,
) -> Callable[[Callable[[Record], None]], Callable[[Record], None]]:
    """Make a function a check of some kinds (of all, when none is named).

    Args:
        kinds: plural kinds.
        tag: only for records with this tag.
        without: only for records without this tag.
        when: only for records of which this is true.
    """

    def applies(record: Record) -> bool:
        if (tag and tag not in record.tags) or (without and without in record.tags):
            return False
        return when is None or when(record)

    def decorate(function: Callable[[Record], None]) -> Callable[[Record], None]:
        added = Check(function.__name__, kinds or KINDS, function, applies)
        _CHECKS[added.kinds, added.name] = added
        return function

    return decorate


def checks_for(record: Record) -> tuple[Check, ...]:
    """Every check that a record has to pass."""
    for name in _TABLES:
        importlib.import_module(f"longtail.testing.{name}")
    return tuple(c for c in _CHECKS.values() if record.kind in c.kinds and c.applies(record))


def pairs(*kinds: str) -> list[tuple[Record, Check]]:
    """Every record of some kinds (of all, when none is named) with each of its checks."""
    return [(r, c) for kind in kinds or KINDS for r in records(kind) for c in checks_for(r)]


def identifier(record: Record, check: Check) -> str:
    """``losses.ldam-renaming_classes``."""
    return f"{record.kind}.{record.name}-{check.name}"


def exception_of(record: Record, check: Check) -> str | None:
    """The reason why a record need not pass a check, or ``None``."""
    return EXCEPTIONS.get((f"{record.kind}.{record.name}", check.name))


def unrepresented(kind: str) -> set[str]:
    """Public classes of a kind's room that no record names; bases and listed helpers apart."""
    if kind not in _ROOMS:
        return set()
    place, base = _ROOMS[kind]
    root = _load(base)
    known = {_unwrapped(record.load()) for record in records(kind)}
    return {
        name
        for name, found in _public(place)
        if inspect.isclass(found)
        and issubclass(found, root)
        and found is not root
        and found not in known
        and f"{kind}.{name}" not in UNLISTED
    }


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _unwrapped(target: Any) -> Any:
    return inspect.unwrap(target)


def _public(place: str) -> Iterable[tuple[str, Any]]:
    """Public names of a module, or of all modules of a package, where they are defined."""
    root = importlib.import_module(place)
    below = pkgutil.iter_modules(getattr(root, "__path__", ()), place + ".")
    for name in [place, *(m.name for m in below)]:
        module = importlib.import_module(name)
        for public in module.__all__:
            found = getattr(module, public)
            if getattr(found, "__module__", None) == module.__name__:
                yield public, found
