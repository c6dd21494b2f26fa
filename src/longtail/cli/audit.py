"""``longtail audit DATA``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from longtail.cli.options import Data, DataFlags, with_flags

__all__ = ["audit"]


@with_flags(DataFlags)
def audit(
    data: Data,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers as JSON.")] = False,
    output: Annotated[Path | None, typer.Option(help="Write the JSON to this file.")] = None,
    *,
    flags: DataFlags,
) -> None:
    """Look at DATA: its tail, its groups, what is broken and what cannot be evaluated."""
    from longtail.cli.summary import audit_summary
    from longtail.data.audit import audit as look

    found = look(
        data,
        data_root=flags.data_root,
        imbalance_factor=flags.imbalance_factor,
        profile=flags.profile,
    )
    text = json.dumps(found, indent=1)
    if output is not None:
        output.write_text(text + "\n", encoding="utf-8")
    print(text if as_json else audit_summary(found))
