"""``longtail predict RUN INPUTS``."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longtail.errors import ConfigError, DataError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["defuse", "predict"]

COLUMNS = ("id", "prediction", "class_id", "probability", "margin", "second", "second_probability")
CHUNK = 256
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
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Predict classes and probabilities for INPUTS, one line each, in their order."""
    if output.suffix.lower() != ".csv":
        raise ConfigError(f"predictions are written as CSV, not {output.name!r}", "end it in .csv")
    from longtail.engine.checkpoint import write_atomic
    from longtail.engine.runner import load_run

    model = load_run(run, device=device)
    rows = read_inputs(inputs, model.input_spec.kind)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = list(model.class_names)
    extra = [f"p:{n}" for n in names] if probabilities else []
    writer.writerow([defuse(c) for c in (*COLUMNS, *extra, "error")])
    failed = 0
    for row in _answers(model, rows):
        failed += bool(row.error)
        writer.writerow(_cells(row, names, len(extra)))
    write_atomic(output, text.getvalue().encode())
    about = {**_about(model, run), "rows": len(rows), "errors": failed}
    beside = output.with_suffix(".meta.json")
    write_atomic(beside, (json.dumps(about, indent=1) + "\n").encode())
    print(f"{len(rows)} rows, {failed} that could not be read: {output}")
    if failed:
        raise typer.Exit(1)


@dataclass(frozen=True)
class Answer:
    """One input: its probabilities, or why there are none."""

    id: str
    probability: Tensor | None
    error: str = ""


def defuse(value: object) -> str:
    """A cell that a spreadsheet will not run: a leading ``'`` before what starts a formula."""
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def read_inputs(paths: Sequence[Path], kind: str) -> list[tuple[str, Any]]:
    """``(id, raw row)`` of every input, in order: a path, a text, or a row of columns."""
    rows: list[tuple[str, Any]] = []
    for path in paths:
        if not path.exists():
            raise DataError(f"there is no file or folder {path}", "check the path")
        if path.is_dir():
            rows.extend(_folder(path, kind))
        elif path.suffix.lower() == ".csv":
            rows.extend(_manifest(path, kind))
        elif kind == "image":
            rows.append((str(path), path))
        else:
            raise DataError(f"{path.name} is no CSV, and the run takes {kind} rows", "give a CSV")
    if not rows:
        raise DataError(f"nothing to predict in {', '.join(map(str, paths))}", "give images or a CSV")
    return rows


def _folder(path: Path, kind: str) -> Iterator[tuple[str, Any]]:
    from longtail.data.sources import IMAGE_SUFFIXES

    if kind != "image":
        raise DataError(f"{path} is a folder, and the run takes {kind} rows", "give a CSV")
    for file in sorted(path.rglob("*")):
        if file.suffix.lower() in IMAGE_SUFFIXES:
            yield file.relative_to(path).as_posix(), file


def _manifest(path: Path, kind: str) -> Iterator[tuple[str, Any]]:
    """Rows of a CSV: the column ``path`` or ``text``, or the whole row for a table."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        column = {"image": "path", "text": "text"}.get(kind)
        if column and column not in columns:
            raise DataError(
                f"{path.name} has no column {column!r}", f"its columns are {', '.join(columns)}"
            )
        for number, row in enumerate(reader):
            name = row.get("id") or (row["path"] if column == "path" else str(number))
            yield name, (path.parent / row["path"] if column == "path" else row[column] if column else row)


def _answers(model: Any, rows: Sequence[tuple[str, Any]]) -> Iterator[Answer]:
    """Predictions in input order, a chunk at a time."""
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        try:
            whole = model.predict_proba(model.encoder.encode([raw for _, raw in part]))
            yield from (Answer(name, p) for (name, _), p in zip(part, whole.cpu(), strict=True))
        except DataError:
            yield from (_single(model, name, raw) for name, raw in part)


def _single(model: Any, name: str, raw: Any) -> Answer:
    try:
        return Answer(name, model.predict_proba(model.encoder.encode([raw]))[0].cpu())
    except DataError as error:
        return Answer(name, None, " ".join(str(error).split()))


def _cells(answer: Answer, names: Sequence[str], extra: int) -> list[str]:
    if answer.probability is None:
        return [defuse(answer.id), *[""] * (len(COLUMNS) - 1 + extra), defuse(answer.error)]
    best, second = answer.probability.topk(2).indices.tolist()
    p = answer.probability.tolist()
    cells = (answer.id, names[best], best, _number(p[best]), _number(p[best] - p[second]))
    rest = (names[second], _number(p[second]), *[_number(v) for v in p[: extra or 0]], "")
    return [defuse(c) for c in (*cells, *rest)]


def _number(value: float) -> str:
    return f"{value:.6g}"


def _about(model: Any, run: Path) -> dict[str, Any]:
    """What the predictions rest on, for whoever reads the file later."""
    weights = (run / "model.safetensors").read_bytes()
    return {
        "run": str(run),
        "model_sha256": hashlib.sha256(weights).hexdigest(),
        "recipe": model.metrics["recipe"],
        "classes": list(model.class_names),
        "counts": model.metrics["data"]["counts"],
        "effective_prior": model.metrics["effective_prior"],
        "target_prior": model.metrics["target_prior"],
        "rule": "argmax",
    }
