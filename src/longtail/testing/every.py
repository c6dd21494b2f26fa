"""Checks of every record, whatever its kind."""

from __future__ import annotations

import inspect
import re
from typing import Any

from longtail import registry
from longtail.errors import UnknownNameError
from longtail.registry import KINDS, Record
from longtail.testing.contract import check
from longtail.testing.tools import build, constructor_values, raises_two_lines

__all__: list[str] = []

MODALITIES = ("image", "text", "table")
TIERS = ("seed", "core", "extended")
SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
#: names of data sets are the names that papers and the command line use
SET_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
SHAPE = re.compile(r"``\([A-Z]['A-Z]?,?( ?[A-Za-z0-9'.]+,?)*\)|0-d")
#: kinds whose constructors store hyper-parameters and nothing else
PARTS = (
    "losses",
    "weights",
    "samplers",
    "augments",
    "objectives",
    "handovers",
    "adjusters",
    "metrics",
)
#: constructor arguments that are data, not hyper-parameters
GIVEN = ("class_counts", "labels")
#: where the shapes of a kind are written, apart from the class itself
METHODS = {
    "losses": ("forward", "per_sample"),
    "weights": ("forward",),
    "samplers": ("draw",),
    "augments": ("forward",),
    "heads": ("forward",),
    "backbones": ("forward",),
    "adjusters": ("transform",),
    "metrics": ("update",),
}


@check()
def record_is_complete(record: Record) -> None:
    """Name, one-line summary, modalities, aliases, details: as listings and ``explain`` want them."""
    pattern = SET_NAME if record.kind == "datasets" else SNAKE
    assert pattern.fullmatch(record.name), record.name
    assert record.kind in KINDS
    assert 10 <= len(record.summary) <= 140, record.summary
    assert "\n" not in record.summary
    assert record.modalities
    assert set(record.modalities) <= set(MODALITIES)
    assert not record.reference or re.search(r"\d{4}|maximum likelihood", record.reference)
    assert all(isinstance(k, str) and isinstance(v, str) for k, v in record.details.items())
    assert len(set(record.tags)) == len(record.tags)


@check()
def names_are_unique(record: Record) -> None:
    """Name and aliases lead to this record and to no other of the kind."""
    for name in (record.name, *record.aliases):
        assert registry.get(record.kind, name) == record
        owners = [
            r.name for r in registry.records(record.kind) if name == r.name or name in r.aliases
        ]
        assert owners == [record.name], owners
        assert record in registry.find(name)


@check()
def target_loads(record: Record) -> None:
    """The target exists, is callable, and says what it is in a sentence."""
    target = record.load()
    assert callable(target)
    text = inspect.getdoc(target) or ""
    first = text.partition("\n\n")[0].strip()
    assert len(first) > 10, f"{record.target} has no docstring"
    assert first[-1] in ".;:" or first.endswith("``"), f"no sentence: {first!r}"


@check()
def hyperparameters_are_known_by_name(record: Record) -> None:
    """The case names keywords of the target; an unknown one suggests the nearest."""
    parameters = inspect.signature(record.load()).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    assert open_ended or set(record.case) <= set(parameters)
    if record.kind in ("recipes", "datasets") or open_ended:
        return
    wrong = registry.part(record.name, no_such_option=1)
    raises_two_lines(UnknownNameError, lambda: registry.instantiate(record.kind, wrong))


@check(*METHODS)
def docstring_has_shapes_and_reference(record: Record) -> None:
    """Shapes stand in the class or the method that is called; the reference beside the formula."""
    chain = [c for c in record.load().__mro__ if c.__module__.partition(".")[0] != "torch"][:-1]
    methods = [vars(c)[m] for c in chain for m in METHODS[record.kind] if m in vars(c)]
    texts = [inspect.getdoc(found) or "" for found in (*chain, *methods)]
    assert SHAPE.search("\n".join(texts)), f"no shapes in {record.target}"
    if record.reference and not record.reference.startswith("after"):
        author = record.reference.split()[0].rstrip(",")
        assert any(author in text for text in texts), f"{record.target} does not name {author}"


@check(*PARTS)
def constructor_stores_what_it_got(record: Record) -> None:
    """Every hyper-parameter is an attribute of the same name, unchanged."""
    made = build(record)
    for name, value in constructor_values(record).items():
        if name in GIVEN or isinstance(value, registry.PartSpec):
            continue
        assert hasattr(made, name), f"{name} is not stored"
        stored = getattr(made, name)
        assert _same(stored, value), f"{name}={value!r} became {stored!r}"


@check(*PARTS)
def repr_names_it(record: Record) -> None:
    """``repr`` works before any data exist, and names the class."""
    text = repr(build(record))
    assert type(build(record)).__name__ in text


def _same(stored: Any, value: Any) -> bool:
    return stored is value or bool(stored == value)
