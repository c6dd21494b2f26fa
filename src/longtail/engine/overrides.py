"""``--set PATH=VALUE``: change a recipe by path.

PATH is a keyword of the recipe, else a field of the recipe, else a stage field (applied to every
stage that trains the backbone), else ``stages.I.field[.hyperparameter]`` or
``field.hyperparameter``. VALUE is YAML, or a part call such as ``mixup(alpha=0.5)``.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any

import yaml

from longtail.engine.stage import Recipe, Stage, check_kind, make_recipe
from longtail.errors import ConfigError, UnknownNameError
from longtail.registry import PartSpec, get, part

__all__ = ["apply", "parse_value", "resolve_recipe"]

_STAGE_FIELDS = tuple(f.name for f in dataclasses.fields(Stage))
_RECIPE_FIELDS = tuple(
    f.name
    for f in dataclasses.fields(Recipe)
    if f.name not in ("stages", "name", "options", "needs")
)


def parse_value(text: str) -> Any:
    """YAML, or a part call; lists of either."""
    text = text.strip()
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        node = None
    if isinstance(node, ast.Call) or (
        isinstance(node, ast.List | ast.Tuple) and any(isinstance(e, ast.Call) for e in node.elts)
    ):
        return _from_ast(node, text)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = " ".join(str(getattr(error, "problem", None) or error).split())
        raise ConfigError(
            f"{text!r} is neither YAML nor a part call",
            f"{where}; write a number, a word, [a, b] or name(option=value)",
        ) from error
    return _tuples(value)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _from_ast(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        inner = [_from_ast(a, text) for a in node.args]
        options = {k.arg: _from_ast(k.value, text) for k in node.keywords if k.arg}
        return part(node.func.id, *inner, **options)
    if isinstance(node, ast.List | ast.Tuple):
        return tuple(_from_ast(e, text) for e in node.elts)
    if isinstance(node, ast.Name):
        return node.id
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is not a part call",
            "write name(option=value), for example mixup(alpha=0.5)",
        ) from error


def resolve_recipe(name: str, settings: Sequence[str] = (), **options: Any) -> Recipe:
    """The recipe of that name with every ``PATH=VALUE`` applied, keywords first."""
    record = get("recipes", name)
    accepted = list(inspect.signature(record.load()).parameters)
    rest = []
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting!r} has no '='", "write --set name=value")
        if path.strip() in accepted:
            options[path.strip()] = parse_value(text)
        else:
            rest.append((path.strip(), parse_value(text)))
    made = make_recipe(record, **{**record.presets.get(name, {}), **options})
    made = dataclasses.replace(made, name=record.called(name))
    for path, value in rest:
        made = apply(made, path, value, accepted)
    return made


def apply(recipe: Recipe, path: str, value: Any, keywords: Sequence[str] = ()) -> Recipe:
    """The recipe with one path changed; an unknown path names the nearest candidates."""
    head, _, rest = path.partition(".")
    if head == "stages":
        return _stage_path(recipe, path, rest, value)
    if head in _RECIPE_FIELDS:
        return dataclasses.replace(
            recipe, **{head: _changed(getattr(recipe, head), head, rest, value)}
        )
    if head in _STAGE_FIELDS:
        stages = tuple(
            _stage(s, head, rest, value) if _trains_backbone(s) else s for s in recipe.stages
        )
        return dataclasses.replace(recipe, stages=stages)
    owners = _owners(recipe, head)
    if not rest and len(owners) == 1:
        return apply(recipe, owners[0], value, keywords)
    if owners:
        raise ConfigError(
            f"{path!r} could be any of: {', '.join(owners)}", "write one of these paths in full"
        )
    raise UnknownNameError("setting", path, [*keywords, *_RECIPE_FIELDS, *_STAGE_FIELDS, "stages"])


def _owners(recipe: Recipe, option: str) -> list[str]:
    """Paths of part options with that name."""
    out = []
    for i, stage in enumerate(recipe.stages):
        for field in _STAGE_FIELDS:
            value = getattr(stage, field)
            if isinstance(value, PartSpec) and option in value.kwargs:
                out.append(f"stages.{i}.{field}.{option}")
    return out


def _trains_backbone(stage: Stage) -> bool:
    return stage.trains == "all" or "backbone" in stage.trains


def _stage_path(recipe: Recipe, path: str, rest: str, value: Any) -> Recipe:
    number, _, inner = rest.partition(".")
    if not number.isdigit() or int(number) >= len(recipe.stages) or not inner:
        raise ConfigError(
            f"{path!r} names no stage field",
            f"write stages.I.field with I from 0 to {len(recipe.stages) - 1}",
        )
    field, _, option = inner.partition(".")
    if field not in _STAGE_FIELDS:
        raise UnknownNameError("stage field", field, _STAGE_FIELDS)
    stages = list(recipe.stages)
    stages[int(number)] = _stage(stages[int(number)], field, option, value)
    return dataclasses.replace(recipe, stages=tuple(stages))


def _stage(stage: Stage, field: str, option: str, value: Any) -> Stage:
    return dataclasses.replace(
        stage, **{field: _changed(getattr(stage, field), field, option, value)}
    )


_PART_FIELDS = (
    "sampler", "loss", "objective", "optimizer", "schedule", "update", "network", "head",
    "projector", "expand",
)  # fmt: skip
_OPTIONAL = ("optimizer", "projector", "expand", "views")
_PART_LISTS = ("augment", "views", "before", "finish", "adjusters")


def _changed(old: Any, field: str, option: str, value: Any) -> Any:
    if option:
        if not isinstance(old, PartSpec):
            raise ConfigError(
                f"{field!r} has no options to set", f"write {field}=name(option=value)"
            )
        return old.replace(**{option: value})
    if field in _PART_FIELDS:
        return _part(field, value)
    if field in _PART_LISTS:
        items = value if isinstance(value, tuple) else (value,)
        return tuple(_part(field, v) for v in items if v is not None or field == "views")
    kind = type(old).__name__ if old is not None else "float | None"
    return check_kind(field, value, "float" if kind == "int" else kind, old)


def _part(field: str, value: Any) -> Any:
    if isinstance(value, str):
        return part(value)
    if isinstance(value, PartSpec) or (value is None and field in _OPTIONAL):
        return value
    raise ConfigError(f"{field}={value!r} is no part", f"write {field}=name(option=value)")
