"""Flags that several verbs share, written once."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from longtail.engine.runner import RunConfig

__all__ = [
    "DATA_FLAGS",
    "Data",
    "DataFlags",
    "Force",
    "PriorMethod",
    "RunFlags",
    "TargetPrior",
    "slug",
    "with_flags",
]

DATA_FLAGS = ("data_root", "imbalance_factor", "profile")

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A built-in set (longtail list datasets), a folder, a CSV, list, .npz or YAML file.",
    ),
]


@dataclass(frozen=True)
class DataFlags:
    """How to read DATA."""

    data_root: Annotated[
        Path | None, typer.Option(help="Folder that holds the files of a built-in set.")
    ] = None
    imbalance_factor: Annotated[
        float | None,
        typer.Option(min=1, help="Cut the training set to this largest/smallest class ratio."),
    ] = None
    profile: Annotated[str, typer.Option(help="Shape of that cut: exponential or step.")] = (
        "exponential"
    )


TargetPrior = Annotated[
    str | None,
    typer.Option(
        help="Class mix to answer to: as_trained, natural, uniform, a CSV of class,weight, or "
        "estimate (from the rows at hand, labels unseen). Default: the run's own."
    ),
]
PriorMethod = Annotated[
    str, typer.Option(help="How --target-prior estimate works: em, bbse or bbse_hard.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Use an estimated prior that speaks against itself.")
]


@dataclass(frozen=True)
class RunFlags(DataFlags):
    """How to train."""

    set: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="Change a keyword or field of the recipe, such as tau=1.5, loss.margin=0.3 or "
            "stages.1.epochs=5 (repeatable).",
        ),
    ] = dataclasses.field(default_factory=list)
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs in all; the recipe's stages share them.")
    ] = None
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Rows a step (default: 16 to 128, by the data).")
    ] = None
    lr: Annotated[float | None, typer.Option(min=0, help="Learning rate at that batch.")] = None
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the run (of the first, in compare).")
    ] = 0
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto"
    precision: Annotated[str, typer.Option(help="32, bf16 or 16.")] = "32"
    workers: Annotated[int, typer.Option(min=0, help="Processes that read streamed files.")] = 0
    backbone: Annotated[
        str | None, typer.Option(help="One of longtail list backbones (default: the data's).")
    ] = None
    output: Annotated[
        Path | None, typer.Option(help="Folder of the result (default: one below runs/).")
    ] = None
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue what lies in --output, or start it.")
    ] = False
    target_prior: Annotated[
        str, typer.Option(help="as_trained, natural, uniform, or a CSV of class,weight.")
    ] = "as_trained"
    labelled_share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Keep this share of the labels and hide the rest."),
    ] = None
    validation: Annotated[
        float | None, typer.Option(min=0, max=1, help="Cut this share off for validation.")
    ] = None
    compile: Annotated[bool, typer.Option("--compile", help="Compile the network.")] = False
    accumulate: Annotated[int, typer.Option(min=1, help="Micro-batches a step.")] = 1
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN_OR_FILE",
            help="A run's folder or a file of weights that stands for the recipe's first stage.",
        ),
    ] = None

    def config(self, data: str, recipe: str, **changes: Any) -> RunConfig:
        """The engine's configuration of one run."""
        from longtail.engine.runner import RunConfig

        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        fields["set"] = tuple(self.set)
        return RunConfig(data=data, recipe=recipe, **{**fields, **changes})


def with_flags(flags: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command, whose last parameter is ``flags``, one option a field of a dataclass."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(flags, include_extras=True)
        names = [f.name for f in dataclasses.fields(flags)]
        own = list(inspect.signature(command, eval_str=True).parameters.values())[:-1]
        options = [
            inspect.Parameter(
                f.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=[] if f.default is dataclasses.MISSING else f.default,
                annotation=hints[f.name],
            )
            for f in dataclasses.fields(flags)
        ]

        @functools.wraps(command)
        def run(**given: Any) -> None:
            chosen = flags(**{k: given.pop(k) for k in names})
            command(**given, flags=chosen)

        keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        del run.__wrapped__
        run.__signature__ = inspect.Signature([*keyword, *options])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in (*keyword, *options)}
        return run

    return decorate


def slug(data: str) -> str:
    """A folder name made from DATA: a built-in name as it is, a path by its last part."""
    path = Path(data)
    stem = path.stem if path.suffix else path.resolve().name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or "data"
