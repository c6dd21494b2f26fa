"""``longtail evaluate RUN [DATA]``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longtail.cli.options import DataFlags, Force, PriorMethod, TargetPrior, with_flags
from longtail.cli.runs import aim, open_run, own_data, own_validation
from longtail.errors import ConfigError, DataError

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
    adapt: Annotated[
        bool,
        typer.Option(
            "--adapt", help="Weigh the experts by their stability on the rows, labels unseen."
        ),
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(help="Least confidence of a decision, for runs that can refuse (taxonomy)."),
    ] = None,
    target_prior: TargetPrior = None,
    prior_method: PriorMethod = "em",
    force: Force = False,
    *,
    flags: DataFlags,
) -> None:
    """Measure a trained run on the test part of DATA, or on all of it where it has no parts."""
    from longtail.cli.summary import metrics_table, prior_of
    from longtail.engine.run import chunks

    model = open_run(run, device)
    if threshold is not None:
        model.refuse_below(threshold)
    split = _own_test(model, flags) if data is None else _rows(model, data, flags)
    if adapt:
        for line in _adapt(model, split, flags):
            print(f"adapt: {line}", file=sys.stderr)
    rows = (x for x, _ in chunks(split, model.device))
    found = aim(model, target_prior, rows, flags.data_root, method=prior_method, force=force)
    metrics, _ = model.evaluate(split)
    if target_prior is not None:
        metrics["target_prior"] = model.target_prior
    if found is not None:
        metrics["target_prior_estimate"] = found.to_data()
    if as_json:
        print(json.dumps(metrics, indent=1))
    else:
        print(f"{metrics_table(metrics, model.class_names)}\n{prior_of(model)}")


def _own_test(model: Run, flags: DataFlags) -> Split:
    """The test part of the run's own data."""
    if (flags.imbalance_factor, flags.profile) != (None, DataFlags.profile):
        raise ConfigError(
            "--imbalance-factor and --profile cut DATA, and none is named", "leave them out"
        )
    own = own_data(model, flags.data_root)
    if own.test is None:
        raise DataError(f"{own.name} has no test part", "name other DATA")
    return own.test


def _adapt(model: Run, split: Split, flags: DataFlags) -> list[str]:
    """Weigh the experts on the rows of ``split``, whose labels are not read."""
    from longtail.registry import create

    if model.info["modality"] != "image":
        raise ConfigError(
            f"--adapt compares two views of a row, and {model.info['modality']} rows have one",
            "leave --adapt out",
        )
    known = own_validation(model, flags.data_root)
    views = create("augment", "strong")
    return model.adapt(split, views, seed=model.info["seed"], validation=known)


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
