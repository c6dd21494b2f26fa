"""One record for every part and recipe, and the way from a record to an object.

A record is data: the class it names is imported only when it is built, so that listing and
explaining import no torch. Tables of records live in ``longtail.records`` (one file a kind);
recipes describe themselves with the decorator :func:`longtail.engine.stage.recipe`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from longtail.errors import ConfigError, UnknownNameError

__all__ = [
    "KINDS",
    "PartSpec",
    "Record",
    "create",
    "find",
    "get",
    "instantiate",
    "name_of",
    "part",
    "records",
    "register",
]

#: kind -> module whose import registers its records. None of them imports torch.
_TABLES: dict[str, str] = {
    "recipes": "longtail.recipes",
    "losses": "longtail.records.losses",
    "weights": "longtail.records.weights",
    "samplers": "longtail.records.samplers",
    "heads": "longtail.records.heads",
    "backbones": "longtail.records.backbones",
    "networks": "longtail.records.networks",
    "augments": "longtail.records.augments",
    "objectives": "longtail.records.objectives",
    "handovers": "longtail.records.handovers",
    "updates": "longtail.records.updates",
    "schedules": "longtail.records.schedules",
    "adjusters": "longtail.records.adjusters",
    "metrics": "longtail.records.metrics",
    "datasets": "longtail.records.datasets",
}
KINDS: tuple[str, ...] = tuple(_TABLES)
_SINGULAR = {k: k[:-2] if k.endswith("ses") else k[:-1] for k in KINDS}

#: keyword of a part -> kind of a part spec given there (anything else: the kind of the parent).
_FIELD_KINDS = {
    "weight": "weights",
    "loss": "losses",
    "sampler": "samplers",
    "head": "heads",
    "augment": "augments",
}


@dataclass(frozen=True)
class Record:
    """What the project knows of one part or recipe.

    Attributes:
        name: lower_snake name, unique within its kind.
        kind: one of :data:`KINDS`.
        summary: one line.
        target: ``"module:attribute"`` of the class or function.
        family: street of the taxonomy (recipes), or the file's theme (parts).
        tier: ``seed``, ``core`` or ``extended`` (recipes).
        reference: authors, venue and year.
        modalities: kinds of input it works on.
        needs: what it cannot do without (``validation``, ``unlabelled``, ``cuts`` ...).
        case: keyword arguments that build a cheap example for the contract test.
        aliases: other names that :func:`get` and ``explain`` answer to.
        presets: alias -> the options it stands for, where it means more than the name.
        tags: facts the contract test checks (``reduces_to_ce``, ``cosine`` ...).
        details: further lines for ``explain`` (formula, when to use it, cost ...).
    """

    name: str
    kind: str
    summary: str
    target: str
    family: str = ""
    tier: str = ""
    reference: str = ""
    modalities: tuple[str, ...] = ("image", "text", "table")
    needs: tuple[str, ...] = ()
    case: Mapping[str, Any] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)

    def called(self, name: str) -> str:
        """The name that stands for what was asked for: an alias with options of its own stays."""
        return name if name in self.presets else self.name

    def load(self) -> Any:
        """Import and return the class or function."""
        module, _, attribute = self.target.partition(":")
        return getattr(importlib.import_module(module), attribute)


_RECORDS: dict[str, dict[str, Record]] = {kind: {} for kind in KINDS}


def register(*new: Record) -> None:
    """Add records; a name that is taken by another target is an error."""
    for record in new:
        record = replace(record, kind=_plural(record.kind))
        table = _RECORDS[record.kind]
        old = table.get(record.name)
        if old is not None and old.target != record.target:
            raise ConfigError(
                f"the name {record.name!r} of kind {record.kind} is taken by {old.target}",
                "choose another name",
            )
        table[record.name] = record


def _plural(kind: str) -> str:
    found = kind if kind in _TABLES else {v: k for k, v in _SINGULAR.items()}.get(kind)
    if found is None:
        raise UnknownNameError("kind", kind, KINDS)
    return found


def _table(kind: str) -> dict[str, Record]:
    kind = _plural(kind)
    importlib.import_module(_TABLES[kind])
    return _RECORDS[kind]


def records(kind: str) -> tuple[Record, ...]:
    """All records of a kind, in the order of their tables."""
    return tuple(_table(kind).values())


def get(kind: str, name: str) -> Record:
    """The record of that name or alias; an unknown name suggests the nearest."""
    table = _table(kind)
    if name in table:
        return table[name]
    for record in table.values():
        if name in record.aliases:
            return record
    raise UnknownNameError(_SINGULAR[_plural(kind)], name, table, _elsewhere(kind, name))


def _elsewhere(kind: str, name: str) -> str:
    """Where a name that this kind lacks is known, with the parts that a recipe would put there."""
    found = _named(name)
    if not found:
        return ""
    record, field = found[0], _SINGULAR[_plural(kind)]
    noun = _SINGULAR[record.kind]
    said = f"{name!r} is {'an' if noun[0] in 'aeiou' else 'a'} {noun}"
    options = record.presets.get(name, {})
    stages = record.load()(**options).stages if record.kind == "recipes" else ()
    parts = list(dict.fromkeys(str(getattr(s, field, "")) for s in stages))
    what = f"its {field} is {', then '.join(parts)}; " if any(parts) else ""
    return f"{said}: {what}see longtail explain {name}"


def _named(name: str) -> tuple[Record, ...]:
    return tuple(r for k in KINDS for r in records(k) if name == r.name or name in r.aliases)


def name_of(kind: str, made: object) -> str:
    """The name under which the class of a part is registered; the name of the class if it is not."""
    target = f"{type(made).__module__}:{type(made).__name__}"
    return next((r.name for r in records(kind) if r.target == target), type(made).__name__)


def find(name: str) -> tuple[Record, ...]:
    """Records of any kind with that name or alias, recipes first."""
    hits = _named(name)
    if not hits:
        raise UnknownNameError("name", name, [r.name for k in KINDS for r in records(k)])
    return hits


@dataclass(frozen=True)
class PartSpec:
    """A part as a value: its name, inner parts and hyper-parameters; never a live object."""

    name: str
    inner: tuple[Any, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def kwargs(self) -> dict[str, Any]:
        """The hyper-parameters as a dictionary."""
        return dict(self.options)

    def replace(self, **changes: Any) -> PartSpec:
        """A copy with hyper-parameters changed or added."""
        return part(self.name, *self.inner, **{**self.kwargs, **changes})

    def to_data(self) -> dict[str, Any]:
        """Plain dictionaries and lists, for YAML and JSON."""
        out: dict[str, Any] = {"part": self.name}
        if self.inner:
            out["inner"] = [_plain(v) for v in self.inner]
        out.update({k: _plain(v) for k, v in self.options})
        return out

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> PartSpec:
        """The inverse of :meth:`to_data`."""
        rest = {k: _live(v) for k, v in data.items() if k not in ("part", "inner")}
        return part(data["part"], *[_live(v) for v in data.get("inner", ())], **rest)

    def __str__(self) -> str:
        inside = [str(v) for v in self.inner] + [f"{k}={v}" for k, v in self.options]
        return f"{self.name}({', '.join(inside)})"


def _plain(value: Any) -> Any:
    if isinstance(value, PartSpec):
        return value.to_data()
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value


def _live(value: Any) -> Any:
    """A value that hashes and goes through YAML and JSON: a dictionary as pairs."""
    if isinstance(value, Mapping):
        if "part" in value:
            return PartSpec.from_data(value)
        return tuple((k, _live(v)) for k, v in value.items())
    if isinstance(value, list | tuple):
        return tuple(_live(v) for v in value)
    return value


def part(name: str, /, *inner: Any, **options: Any) -> PartSpec:
    """A part spec: ``part("deferred", part("effective_number", beta=0.9999), after=0.8)``.

    It keeps lists as tuples, and dictionaries as tuples of pairs in their order.
    """
    clean = tuple(sorted((k, _live(v)) for k, v in options.items()))
    return PartSpec(name, tuple(_live(v) for v in inner), clean)


def instantiate(kind: str, spec: PartSpec | str, **extra: Any) -> Any:
    """Build the object a spec names; an unknown hyper-parameter suggests the nearest one."""
    spec = part(spec) if isinstance(spec, str) else spec
    record = get(kind, spec.name)
    factory = record.load()
    options = {**record.presets.get(spec.name, {}), **spec.kwargs, **extra}
    accepted = _parameters(factory)
    for key in options:
        if accepted is not None and key not in accepted:
            raise UnknownNameError(
                f"option of {_SINGULAR[record.kind]} {spec.name!r} called", key, accepted
            )
    inner = [_inner(kind, "", v) for v in spec.inner]
    given = {k: _inner(kind, k, v) for k, v in options.items()}
    try:
        return factory(*inner, **given)
    except TypeError as error:
        raise ConfigError(
            f"{_SINGULAR[record.kind]} {spec} cannot be built: {error}",
            f"see longtail explain {spec.name} for the values it takes",
        ) from error


def _inner(kind: str, keyword: str, value: Any) -> Any:
    named = keyword in _FIELD_KINDS or keyword in ("", "inner", "first")
    if isinstance(value, PartSpec) or (isinstance(value, str) and named):
        return instantiate(_FIELD_KINDS.get(keyword, kind), value)
    return value


def _parameters(factory: Any) -> list[str] | None:
    parameters = inspect.signature(factory).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return [p.name for p in parameters if p.name != "self"]


def create(kind: str, name: str, *, class_counts: Any = None, **hyperparameters: Any) -> Any:
    """Build a part by name, bound to class counts when they are given.

    A part inside it is given by name, or with hyper-parameters as a :func:`part`.

    Example:
        >>> loss = create("loss", "ldam", class_counts=[100, 10, 1])  # doctest: +SKIP
        >>> weight = part("effective_number", beta=0.999)  # or weight="effective_number"
        >>> loss = create("loss", "focal", weight=weight, class_counts=[9, 1])  # doctest: +SKIP
    """
    if class_counts is not None:
        hyperparameters["class_counts"] = class_counts
    given = {k: v for k, v in hyperparameters.items() if isinstance(v, Mapping) and "part" not in v}
    rest = {k: v for k, v in hyperparameters.items() if k not in given}
    return instantiate(kind, part(name, **rest), **given)
