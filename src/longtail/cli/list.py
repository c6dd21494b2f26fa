"""``longtail list KIND``."""

from __future__ import annotations

import json
import shutil
from typing import Annotated, Any

import typer

from longtail.registry import KINDS, Record, records

__all__ = ["as_data", "list_records"]


def list_records(
    kind: Annotated[
        str, typer.Argument(metavar="[KIND]", help=f"One of {', '.join(KINDS)}.")
    ] = "recipes",
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list of objects.")] = False,
) -> None:
    """List what there is of a kind: recipes, losses, samplers, datasets and so on."""
    found = records(kind)
    if as_json:
        print(json.dumps([as_data(r) for r in found], indent=1))
        return
    width = max((len(r.name) for r in found), default=0)
    columns = max(60, shutil.get_terminal_size((100, 24)).columns)
    family = None
    for record in sorted(
        found, key=lambda r: list(dict.fromkeys(f.family for f in found)).index(r.family)
    ):
        if record.family != family:
            family = record.family
            print(f"{family or kind}:")
        line = f"  {record.name:<{width}}  {record.summary}"
        print(line if len(line) <= columns else f"{line[: columns - 1].rstrip()}…")


def as_data(record: Record) -> dict[str, Any]:
    """A record as plain data."""
    return {
        "name": record.name,
        "kind": record.kind,
        "family": record.family,
        "tier": record.tier,
        "reference": record.reference,
        "summary": record.summary,
        "modalities": list(record.modalities),
        "needs": list(record.needs),
        "aliases": list(record.aliases),
    }
