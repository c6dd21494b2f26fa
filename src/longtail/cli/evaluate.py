"""``longtail evaluate RUN [DATA]``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longtail.cli.options import DataFlags, with_flags
from longtail.errors import DataError

if TYPE_CHECKING:
    from longtail.data import Split
    from longtail.engine.run import Run

__all__ = ["evaluate"]


@with_flags(DataFlags)
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")],
    data: Annotated[
        str | None,
        typer.Argument(metavar="[DATA]", help="Rows of the run's classes (default: its own)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers as JSON.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    *,
    flags: DataFlags,
) -> None:
    """Measure a trained run on the test part of DATA, or on all of it where it has no parts."""
    from longtail.cli.summary import metrics_table
    from longtail.engine.launch import launch
    from longtail.engine.run import load_run

    model = load_run(run, device=str(launch(device).device))
    split = _own_test(model, flags) if data is None else _rows(model, data, flags)
    metrics, _ = model.evaluate(split)
    print(json.dumps(metrics, indent=1) if as_json else metrics_table(metrics, model.class_names))


def _own_test(model: Run, flags: DataFlags) -> Split:
    """The test part of what the run was trained on."""
    from longtail.data import load

    source = model.info["source"]
    if source["data"] is None:
        raise DataError("the run was trained on arrays, not on a named set", "name DATA")
    found = load(
        source["data"],
        data_root=flags.data_root or source.get("data_root"),
        imbalance_factor=source["imbalance_factor"],
        profile=source["profile"],
        labelled_share=source["labelled_share"],
    )
    if found.test is None:
        raise DataError(f"{source['data']} has no test part", "name other DATA")
    return found.test


def _rows(model: Run, data: str, flags: DataFlags) -> Split:
    """Labelled rows of DATA, encoded as the run encodes them, with the run's class ids."""
    import numpy as np
    import torch

    from longtail.data import Encoder, Options, Split
    from longtail.data.sources import read
    from longtail.models import InputSpec

    raw, _ = read(data, Options.read(vars(flags)))
    if raw.modality != model.info["modality"]:
        raise DataError(
            f"{data} holds {raw.modality} rows, the run takes {model.info['modality']}",
            "name data of the kind that the run was trained on",
        )
    rows = raw.parts.get("test") or raw.parts["train"]
    ids = {name: i for i, name in enumerate(model.class_names)}
    known = np.array([label in ids for label in rows.labels])
    unknown = sorted({label for label in rows.labels if label not in ids})
    if unknown:
        left = int((~known).sum())
        names = ", ".join(unknown[:8])
        print(
            f"warning: {left} rows of classes the run does not know left out: {names}",
            file=sys.stderr,
        )
    if not known.any():
        raise DataError(
            f"no row of {data} has a class of the run", "see the class names in run.json"
        )
    rows = rows.take(np.flatnonzero(known))
    store = Encoder(InputSpec.from_data(model.info["inputs"])).store(rows.inputs)
    return Split(store, torch.tensor([ids[label] for label in rows.labels]), rows.ids)
