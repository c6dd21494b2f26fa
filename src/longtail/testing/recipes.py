"""Checks of recipes: as values, and through the engine on tiny data."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any

import torch
import yaml

from longtail import registry
from longtail.engine.overrides import resolve_recipe
from longtail.engine.runner import RunConfig, fit
from longtail.engine.stage import Recipe, Stage, make_recipe
from longtail.errors import ConfigError, UnknownNameError
from longtail.registry import Record
from longtail.testing.contract import check
from longtail.testing.tools import close, raises_two_lines
from longtail.testing.toy import toy_data
from longtail.testing.trace import Trace, fields_set, named_parts, trace

__all__: list[str] = []

TIERS = ("seed", "core", "extended")


def _other(parameter: inspect.Parameter) -> Any:
    """Another value of the same kind."""
    value = parameter.default
    if value is None and "str" in str(parameter.annotation):
        return "other"
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return 3 if value is None else f"{value}_"


@check("recipes")
def builds_from_its_name(record: Record) -> None:
    """A value: hashable, equal when made twice, with stages of distinct names."""
    one, other = make_recipe(record), resolve_recipe(record.name)
    assert isinstance(one, Recipe)
    assert one == other
    assert hash(one) == hash(other)
    assert one.name == record.name
    names = [stage.name for stage in one.stages]
    assert len(set(names)) == len(names)
    assert all(stage.epochs > 0 for stage in one.stages)
    assert record.tier in TIERS
    assert record.family
    assert record.reference


@check("recipes")
def round_trips(record: Record) -> None:
    """Through JSON and YAML it comes back equal."""
    made = make_recipe(record)
    data = made.to_data()
    assert Recipe.from_data(json.loads(json.dumps(data))) == made
    assert Recipe.from_data(yaml.safe_load(yaml.safe_dump(data))) == made


@check("recipes")
def every_option_is_used(record: Record) -> None:
    """Every keyword changes something beside the list of options, or refuses a made-up word."""
    plain = make_recipe(record).to_data()
    for parameter in inspect.signature(record.load()).parameters.values():
        assert parameter.default is not parameter.empty, f"{parameter.name} has no default"
        try:
            changed = make_recipe(record, **{parameter.name: _other(parameter)}).to_data()
        except UnknownNameError:  # one of a few words: it was read
            continue
        assert {**changed, "options": {}} != {**plain, "options": {}}, parameter.name
    raises_two_lines(ConfigError, lambda: make_recipe(record, no_such_option=1))


@check("recipes")
def parts_are_registered(record: Record) -> None:
    """Every part it names has a record, and takes the options it is given."""
    for kind, spec in named_parts(make_recipe(record)):
        accepted = inspect.signature(registry.get(kind, spec.name).load()).parameters
        assert set(spec.kwargs) <= set(accepted), f"{kind}.{spec.name}: {set(spec.kwargs)}"


@check("recipes")
def two_steps_of_every_stage(record: Record) -> None:
    """It trains on four classes through the engine, and evaluates to finite numbers."""
    run = trace(record.name).run
    stages = make_recipe(record).stages
    assert run.metrics["steps"] >= 2 * len(stages)
    assert 0 <= run.metrics["test"]["balanced_accuracy"] <= 1
    assert all(torch.isfinite(p).all() for p in run.network.state_dict().values())
    assert run.metrics["recipe"] == record.name


@check("recipes")
def every_field_it_sets_is_read(record: Record) -> None:
    """A field that differs from its default is read by the engine, or it did nothing."""
    seen: Trace = trace(record.name)
    recipe = make_recipe(record)
    unread = fields_set(recipe, Recipe) - seen.fields["Recipe"]
    assert not unread, f"the engine never read {unread}"
    for stage in recipe.stages:
        unread = fields_set(stage, Stage) - seen.fields["Stage"]
        assert not unread, f"the engine never read {unread} of stage {stage.name!r}"


@check("recipes")
def every_part_is_built(record: Record) -> None:
    """Each part that it names was looked up in the registry by the engine."""
    seen = trace(record.name)
    wanted = {(kind, spec.name) for kind, spec in named_parts(make_recipe(record))}
    missing = wanted - seen.parts
    assert not missing, f"never built: {missing}"


@check("recipes")
def every_sampler_draws(record: Record) -> None:
    """The sampler of each stage reached its loader."""
    seen = trace(record.name)
    for stage in make_recipe(record).stages:
        cls = registry.get("samplers", stage.sampler.name).load().__name__
        assert cls in seen.draws, f"{stage.sampler} of stage {stage.name!r} never drew"


@check("recipes")
def the_seed_decides(record: Record) -> None:
    """The same seed gives the same bits; another seed gives others."""
    first = trace(record.name).run
    again = _fit(record.name)
    assert torch.equal(_logits(again), _logits(first))
    assert not torch.equal(_logits(_fit(record.name, seed=1)), _logits(first))


@check("recipes")
def read_back_it_predicts_the_same(record: Record) -> None:
    """Its folder holds all that ``predict`` needs; probabilities agree with predictions."""
    seen = trace(record.name)
    close(seen.read_back, _logits(seen.run), tol=0)
    x = toy_data().test.store.data  # type: ignore[union-attr]
    p = seen.run.predict_proba(x)
    assert torch.equal(p.argmax(1), seen.run.predict_logits(x).argmax(1))
    close(p.sum(1), torch.ones(len(x)), tol=1e-5)


@check("recipes")
def modalities_are_true(record: Record) -> None:
    """It trains on the kinds of input that it declares, and refuses the others."""
    for modality in ("table", "text"):
        if modality in record.modalities:
            logits = _logits(_fit(record.name, modality), modality)
            assert torch.isfinite(logits).all()
        else:
            raises_two_lines(ConfigError, lambda m=modality: _fit(record.name, m))


def _fit(name: str, modality: str = "image", seed: int = 0) -> Any:
    """Train one epoch a stage; without test rows nothing is evaluated."""
    config = RunConfig(
        recipe=name,
        epochs=len(resolve_recipe(name).stages),
        batch_size=18,
        seed=seed,
        device="cpu",
        progress=False,
    )
    return fit(config, dataset=dataclasses.replace(toy_data(modality), test=None))


def _logits(run: Any, modality: str = "image") -> torch.Tensor:
    test = toy_data(modality).test
    assert test is not None
    logits: torch.Tensor = run.predict_logits(test.store.fetch(torch.arange(len(test.labels))))
    return logits
