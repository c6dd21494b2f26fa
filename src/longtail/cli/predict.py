"""``longtail predict RUN INPUTS``."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longtail.cli.options import Force, PriorMethod, TargetPrior
from longtail.cli.runs import aim, open_run
from longtail.errors import ConfigError, DataError

if TYPE_CHECKING:
    from torch import Tensor

    from longtail.data.raw import Rows
    from longtail.engine.run import Run

__all__ = ["defuse", "predict"]

COLUMNS = ("id", "prediction", "class_id", "probability", "margin", "second", "second_probability")
CHUNK = 256
IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
NOT_INPUTS = ("id", "label", "split", "weight", "group")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUTS...",
            help="Image files, a folder of images, or a CSV with the training columns.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="The CSV to write.")] = Path("predictions.csv"),
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Add one column a class, named p:CLASS.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(help="Least confidence of a decision, for runs that can refuse (taxonomy)."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    target_prior: TargetPrior = None,
    prior_method: PriorMethod = "em",
    force: Force = False,
    data_root: Annotated[
        Path | None,
        typer.Option(help="Where the run's own data lie, for --target-prior estimate."),
    ] = None,
) -> None:
    """Predict classes and probabilities for INPUTS, one line each, in their order."""
    if output.suffix.lower() != ".csv":
        raise ConfigError(f"predictions are written as CSV, not {output.name!r}", "end it in .csv")
    from longtail.engine.checkpoint import write_atomic

    model = open_run(run, device)
    if threshold is not None:
        model.refuse_below(threshold)
    rows = read_inputs(inputs, model.info["modality"])
    readable = _readable(model, rows)
    found = aim(model, target_prior, readable, data_root, method=prior_method, force=force)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = model.class_names
    extra = [f"p:{n}" for n in names] if probabilities else []
    own = model.column_names
    writer.writerow([defuse(c) for c in (*COLUMNS, *own, *extra, "error")])
    failed = 0
    for row in _answers(model, rows):
        failed += bool(row.error)
        writer.writerow(_cells(row, names, own, len(extra)))
    write_atomic(output, text.getvalue().encode())
    about = {**_about(model, run), "rows": len(rows), "errors": failed}
    if found is not None:
        about["target_prior_estimate"] = found.to_data()
    beside = output.with_suffix(".meta.json")
    write_atomic(beside, (json.dumps(about, indent=1) + "\n").encode())
    print(f"{len(rows)} rows, {failed} that could not be read: {output}")
    if failed:
        raise typer.Exit(1)


@dataclass(frozen=True)
class Answer:
    """One input: its probabilities and what the network says beside, or why there are none."""

    id: str
    probability: Tensor | None
    error: str = ""
    beside: Mapping[str, str] = field(default_factory=dict)


def defuse(value: object) -> str:
    """A cell that a spreadsheet will not run: a leading ``'`` before what starts a formula."""
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def read_inputs(paths: Sequence[Path], kind: str) -> Rows:
    """Inputs with their ids, in order; a CSV may hold labels too, which are not read."""
    from longtail.data.manifest import read_csv
    from longtail.data.raw import Rows

    if kind == "image" and not any(p.suffix.lower() == ".csv" for p in paths):
        files = [pair for path in paths for pair in _images(path)]
        if not files:
            raise DataError(f"there is no image in {paths[0]}", "give images, or a CSV")
        return Rows([f for _, f in files], [""] * len(files), [i for i, _ in files])
    if len(paths) != 1 or paths[0].suffix.lower() != ".csv":
        raise DataError(
            f"{paths[0]} is not one CSV file, and the run takes {kind} rows",
            "give one CSV with the columns that the run was trained on",
        )
    if not paths[0].is_file():
        raise DataError(f"there is no file {paths[0]}", "check the path")
    table = read_csv(paths[0])
    names = [str(v) for v in _column(table, "id", ())] or [f"row/{i}" for i in range(len(table))]
    inputs: Any = table
    if kind == "image":
        given = [str(v) for v in _column(table, "path", table.columns)]
        inputs, _ = resolve(given, paths[0])
        names = names if "id" in table.columns else given
    elif kind == "text":
        inputs = [str(v) for v in _column(table, "text", table.columns)]
    return Rows(inputs, [""] * len(names), names)


def resolve(names: Sequence[str], manifest: Path) -> tuple[list[str], list[int]]:
    """Paths of a CSV, below its folder; a missing file is said in its row."""
    from longtail.data.paths import resolve_paths

    return resolve_paths(names, manifest.parent, str(manifest), skip=True)


def _column(table: Any, name: str, known: Iterable[str]) -> list[Any]:
    """A column; where it is missing the only one there is, or an error that lists ``known``."""
    if name in table.columns:
        return list(table.columns[name].tolist())
    others = [c for c in known if c not in NOT_INPUTS]
    if len(others) == 1:
        return list(table.columns[others[0]].tolist())
    if not others:
        return []
    raise DataError(f"the CSV has no column {name!r}", f"its columns are {', '.join(others)}")


def _images(path: Path) -> Iterator[tuple[str, str]]:
    """``(id, file)`` of an image, or of all images below a folder."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in IMAGE_SUFFIXES:
                yield file.relative_to(path).as_posix(), str(file)
    elif path.exists():
        yield str(path), str(path)
    else:
        raise DataError(f"there is no file or folder {path}", "check the path")


def _parts(run: Run, rows: Rows) -> Iterator[tuple[Rows, Tensor | None, str]]:
    """Encoded rows in input order, a chunk at a time; a chunk with a bad row goes row by row."""
    import numpy as np

    from longtail.data import Encoder
    from longtail.models import InputSpec

    encode = Encoder(InputSpec.from_data(run.info["inputs"]))
    for chunk in np.array_split(np.arange(len(rows)), -(-len(rows) // CHUNK)):
        try:
            yield rows.take(chunk), encode(rows.take(chunk).inputs), ""
        except DataError:
            for position in chunk:
                one = rows.take(position[None])
                try:
                    yield one, encode(one.inputs), ""
                except DataError as error:
                    yield one, None, " ".join(str(error).split())


def _readable(run: Run, rows: Rows) -> Iterator[Tensor]:
    """The rows that can be read."""
    return (x for _, x, _ in _parts(run, rows) if x is not None)


def _answers(run: Run, rows: Rows) -> Iterator[Answer]:
    """Predictions in input order."""
    for part, x, error in _parts(run, rows):
        if x is None:
            yield Answer(part.ids[0], None, error)
            continue
        found, columns = run.answers(x)
        beside = [{k: v[row] for k, v in columns.items()} for row in range(len(found))]
        yield from (Answer(i, p, "", b) for i, p, b in zip(part.ids, found, beside, strict=True))


def _cells(answer: Answer, names: Sequence[str], own: Sequence[str], extra: int) -> list[str]:
    if answer.probability is None:
        blank = [""] * (len(COLUMNS) - 1 + len(own) + extra)
        return [defuse(answer.id), *blank, defuse(answer.error)]
    best, second = answer.probability.topk(2).indices.tolist()
    p = answer.probability.tolist()
    cells = (answer.id, names[best], best, _number(p[best]), _number(p[best] - p[second]))
    beside = [answer.beside[name] for name in own]
    rest = (names[second], _number(p[second]), *beside, *[_number(v) for v in p[:extra]], "")
    return [defuse(c) for c in (*cells, *rest)]


def _number(value: float) -> str:
    return f"{value:.6g}"


def _about(model: Run, run: Path) -> dict[str, Any]:
    """What the predictions rest on, for whoever reads the file later."""
    weights = (run / "model.safetensors").read_bytes()
    return {
        "model_sha256": hashlib.sha256(weights).hexdigest(),
        "recipe": model.info["recipe"]["name"],
        "classes": model.class_names,
        "counts": model.info["counts"],
        "effective_prior": model.info["effective_prior"],
        "target_prior": model.target_prior,
        "rule": "argmax",
    }
