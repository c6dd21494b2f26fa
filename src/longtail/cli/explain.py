"""``longtail explain NAME``."""

from __future__ import annotations

import dataclasses
import textwrap
from typing import Annotated, Any

import typer

from longtail.engine.stage import Recipe, Stage, make_recipe
from longtail.registry import Record, find

__all__ = ["explain"]

PRIORS = {
    "composed": "from sampler, class weights and loss where these have a formula; target as_trained",
    "approximate": "not known, no formula follows this recipe; target as_trained",
}


def explain(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A recipe or part, or another name of one.")
    ],
) -> None:
    """Say what a recipe or part is, what it needs, and the numbers it runs with."""
    for number, record in enumerate(find(name)):
        if number:
            print()
        _print_record(record)
        if record.kind in ("recipes", "recipe"):
            _print_recipe(make_recipe(record))


def _print_record(record: Record) -> None:
    kind = "loss" if record.kind.startswith("loss") else record.kind.removesuffix("s")
    print(f"{record.name} ({kind}): {record.summary}")
    fields = {
        "family": record.family,
        "tier": record.tier,
        "reference": record.reference,
        "modalities": ", ".join(record.modalities),
        "needs": ", ".join(record.needs),
        "also called": ", ".join(_alias(record, alias) for alias in record.aliases),
        **record.details,
    }
    for key, value in fields.items():
        if value:
            print(_wrapped(f"  {key + ':':<13} ", str(value)))


def _alias(record: Record, alias: str) -> str:
    """The alias, and the options it stands for."""
    options = record.presets.get(alias)
    return f"{alias} ({', '.join(f'{k}={v}' for k, v in options.items())})" if options else alias


def _print_recipe(recipe: Recipe) -> None:
    shown = {
        "network": recipe.network,
        "head": recipe.head,
        "projector": recipe.projector,
        "adjusters": recipe.adjusters,
        "lr": f"{recipe.lr:g} at batch {recipe.batch}",
        "weight decay": f"{recipe.weight_decay:g}",
        "epochs": recipe.epochs,
        "meta a class": recipe.meta_per_class or None,
        "prior": PRIORS.get(recipe.prior, recipe.prior),
    }
    for key, value in shown.items():
        if value not in (None, ()):
            print(_wrapped(f"  {key + ':':<14}", _text(value)))
    for number, stage in enumerate(recipe.stages):
        print(f"  stage {number} ({stage.name}): {stage.epochs:g} of {recipe.epochs} epochs")
        for key, value in _stage_fields(stage).items():
            print(_wrapped(f"    {key + ':':<12}", _text(value)))


def _stage_fields(stage: Stage) -> dict[str, Any]:
    """What a reader wants to see always, and every field that is not at its default."""
    always = ("sampler", "loss", "objective", "schedule")
    out = {}
    for field in dataclasses.fields(stage):
        value = getattr(stage, field.name)
        if field.name in ("name", "epochs"):
            continue
        if field.name in always or value != field.default:
            out[field.name] = value
    return out


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(_text(v) for v in value) or "none"
    return "the data's default" if value is None else str(value)


def _wrapped(head: str, text: str) -> str:
    return textwrap.fill(
        text,
        100,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
