"""A recipe is a value: frozen stages of part specs, made by a decorated function."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from longtail.errors import ConfigError, UnknownNameError
from longtail.registry import PartSpec, Record, part, register

__all__ = ["Recipe", "Stage", "cacheable", "make_recipe", "recipe"]

Spec = PartSpec | None


@dataclass(frozen=True)
class Stage:
    """One stretch of training. Every field is read by the engine; fields compose.

    Attributes:
        epochs: share of the recipe's epochs (a whole number in the recipe's own count).
        name: how later stages and handovers call it.
        sampler: which rows an epoch draws.
        loss: the loss of the default objective, and what other objectives call ``ctx.loss``.
        objective: who turns a batch into a loss.
        augment: batch transforms after the views (mixing of rows and labels).
        views: one policy a view; ``None`` is the default policy of the data.
        optimizer: ``None`` is the backbone's own.
        lr: factor on the recipe's learning rate.
        lr_scale: further factors by module path: ``(("backbone", 0.1),)``.
        decay: factor on the weight decay.
        schedule: learning rate over the fraction of the stage.
        update: how gradients become a step.
        clip: largest gradient norm, or ``None``.
        trains: ``"all"``, ``"head"``, or module paths joined by commas.
        bn: BatchNorm of frozen parts: ``train``, ``eval`` or ``update_stats``.
        cache: features of the frozen network are computed once: 0 for those of the plain rows,
            ``k`` for those of ``k`` augmented views of each row (drawn among), ``None`` for none
            (exact: every step runs the network on fresh views).
        ema: decay of an averaged copy that replaces the weights at the end, or ``None``.
        before: handovers, run in order before the stage.
        expand: a part that returns the stages to run in place of this one.
        init_from: stage whose weights it starts from (default: the one before).
        classes: train on these class ids only (others are masked).
        data_from: stage whose training data it starts from (default: the one before).
    """

    epochs: float = 1
    name: str = "train"
    sampler: PartSpec = part("instance")
    loss: PartSpec = part("cross_entropy")
    objective: PartSpec = part("supervised")
    augment: tuple[PartSpec, ...] = ()
    views: tuple[Spec, ...] = (None,)
    optimizer: Spec = None
    lr: float = 1.0
    lr_scale: tuple[tuple[str, float], ...] = ()
    decay: float = 1.0
    schedule: PartSpec = part("cosine", warmup=0.025)
    update: PartSpec = part("plain")
    clip: float | None = None
    trains: str = "all"
    bn: str = "train"
    cache: int | None = None
    ema: float | None = None
    before: tuple[PartSpec, ...] = ()
    expand: Spec = None
    init_from: str = ""
    classes: tuple[int, ...] = ()
    data_from: str = ""

    @property
    def trains_head(self) -> bool:
        """Whether the classifier, or a part of it, is trained."""
        return self.trains == "all" or "head" in self.trains


@dataclass(frozen=True)
class Recipe:
    """A method as data: the network, its stages, and what follows training.

    Attributes:
        stages: run in order; their ``epochs`` share ``--epochs``.
        network: how backbone and heads are put together.
        head: the classifier.
        projector: an extra head beside the classifier, or ``None``.
        lr: learning rate at the published batch of ``batch`` rows.
        batch: that batch.
        weight_decay: of the default optimiser.
        finish: handovers run after the last stage.
        adjusters: what is fitted after training and travels with the model.
        prior: ``composed`` (from sampler, weights and loss) or ``approximate`` (no formula).
        needs: what the data must offer (``validation``, ``unlabelled`` ...).
        meta_per_class: rows a class set aside for a meta set before counts (0: none).
        allow_double: accept a composition that corrects the class prior twice.
        name: of the recipe; set by the decorator.
        options: keyword arguments it was made with; set by the decorator.
    """

    stages: tuple[Stage, ...]
    network: PartSpec = part("single")
    head: PartSpec = part("linear")
    projector: Spec = None
    lr: float = 0.1
    batch: int = 128
    weight_decay: float = 2e-4
    finish: tuple[PartSpec, ...] = ()
    adjusters: tuple[PartSpec, ...] = ()
    needs: tuple[str, ...] = ()
    prior: str = "composed"
    meta_per_class: int = 0
    allow_double: bool = False
    name: str = ""
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def epochs(self) -> int:
        """Epochs in all, in the recipe's own count."""
        return round(sum(s.epochs for s in self.stages))

    def to_data(self) -> dict[str, Any]:
        """Plain data for YAML, JSON and comparison."""
        out: dict[str, Any] = _to_data(self)
        out["options"] = {k: _to_data(v) for k, v in self.options}
        return out

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> Recipe:
        """The inverse of :meth:`to_data`."""
        fields = dict(data)
        fields["stages"] = tuple(stage_from_data(s) for s in data["stages"])
        fields["options"] = tuple(
            sorted((k, _frozen(v)) for k, v in data.get("options", {}).items())
        )
        return Recipe(**{k: _from_data(v) if k != "stages" else v for k, v in fields.items()})


def stage_to_data(stage: Stage) -> dict[str, Any]:
    """A stage as plain data."""
    return dict(_to_data(stage))


def stage_from_data(data: Mapping[str, Any]) -> Stage:
    """The inverse of :func:`stage_to_data`."""
    return Stage(**{k: _from_data(v) for k, v in data.items()})


def _to_data(value: Any) -> Any:
    if isinstance(value, PartSpec):
        return value.to_data()
    if dataclasses.is_dataclass(value):
        return {f.name: _to_data(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [_to_data(v) for v in value]
    return value


def _from_data(value: Any) -> Any:
    if isinstance(value, Mapping) and "part" in value:
        return PartSpec.from_data(value)
    if isinstance(value, list | tuple):
        return tuple(_from_data(v) for v in value)
    return value


def recipe(
    *,
    family: str,
    tier: str,
    reference: str,
    aliases: tuple[str, ...] = (),
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    modalities: tuple[str, ...] = ("image", "text", "table"),
    needs: tuple[str, ...] = (),
    details: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., Recipe]], Callable[..., Recipe]]:
    """Register a function that returns a :class:`Recipe` under its own name.

    The first line of its docstring is the summary; its keyword arguments are the
    hyper-parameters. ``presets`` says which of them an alias stands for.
    """

    def decorate(function: Callable[..., Recipe]) -> Callable[..., Recipe]:
        name = function.__name__

        @functools.wraps(function)
        def build(**options: Any) -> Recipe:
            made = function(**options)
            given = tuple(sorted((k, _frozen(v)) for k, v in options.items()))
            return dataclasses.replace(made, name=name, options=given, needs=needs)

        register(
            Record(
                name=name,
                kind="recipes",
                summary=(inspect.getdoc(function) or "").partition("\n")[0],
                target=f"{function.__module__}:{name}",
                family=family,
                tier=tier,
                reference=reference,
                aliases=aliases,
                presets=presets or {},
                modalities=modalities,
                needs=needs,
                details=details or {},
            )
        )
        return build

    return decorate


def cacheable(cache: int | str | None, bn: str) -> int | None:
    """The cache of a stage under a BatchNorm policy; ``"auto"`` keeps features that do not move.

    Raises:
        ConfigError: features to keep were asked for, and ``bn`` moves them.
    """
    if cache == "auto":
        return 0 if bn == "eval" else None
    if isinstance(cache, str):
        raise UnknownNameError("cache of features called", cache, ["auto", "null"])
    if cache is not None and bn != "eval":
        raise ConfigError(
            f"cache={cache} keeps features that bn={bn!r} would change at every step",
            "leave the cache out, or keep bn=eval",
        )
    return cache


def check_kind(name: str, value: Any, kinds: str, like: Any) -> Any:
    """The value, or an error when it is none of ``kinds`` (such as ``float | None``)."""
    allowed = {k.strip() for k in kinds.split("|")}
    numeric = bool(allowed & {"int", "float"})
    if isinstance(value, bool):
        fits = "bool" in allowed
    elif isinstance(value, numbers.Real):
        fits = "float" in allowed or ("int" in allowed and isinstance(value, numbers.Integral))
    else:
        fits = not allowed.isdisjoint({type(value).__name__, "None" if value is None else "Any"})
    if fits or not allowed <= {"int", "float", "bool", "str", "None", "tuple"}:
        return value
    wrong = "not a number" if numeric and isinstance(value, str) else "of the wrong kind"
    raise ConfigError(f"{name}={value!r} is {wrong}", f"give {kinds}, for example {like!r}")


def _frozen(value: Any) -> Any:
    """An option as a value that hashes: lists as tuples, dictionaries as tuples of pairs."""
    if isinstance(value, Mapping):
        return tuple((k, _frozen(v)) for k, v in value.items())
    return tuple(_frozen(v) for v in value) if isinstance(value, list | tuple) else value


def make_recipe(record: Record, **options: Any) -> Recipe:
    """Call a recipe's function; an unknown hyper-parameter suggests the nearest one."""
    function = record.load()
    accepted = inspect.signature(function).parameters
    for key, value in options.items():
        if key not in accepted:
            raise UnknownNameError(f"option of recipe {record.name!r} called", key, accepted)
        check_kind(key, value, str(accepted[key].annotation), accepted[key].default)
    made = function(**options)
    if not isinstance(made, Recipe):
        raise ConfigError(f"{record.target} did not return a Recipe", "return Recipe(stages=...)")
    return made
