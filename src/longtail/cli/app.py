"""The ``longtail`` command: its verbs, and how an error reaches the user."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from longtail.cli.audit import audit
from longtail.cli.compare import compare
from longtail.cli.evaluate import evaluate
from longtail.cli.explain import explain
from longtail.cli.list import list_records
from longtail.cli.predict import predict
from longtail.cli.report import report
from longtail.cli.train import train
from longtail.errors import LongtailError

__all__ = ["app", "main"]

RESUMABLE = ("train", "compare")
#: what the parser raises for words it does not understand
UsageError: type[Any] = typer.BadParameter.__bases__[0]


class Verbs(TyperGroup):
    """The group of verbs; an error of the user's making becomes two lines and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except (LongtailError, OSError, KeyboardInterrupt, UsageError) as error:
            if ctx.params.get("debug"):
                raise
            if isinstance(error, BrokenPipeError):
                _silence_stdout()
                raise typer.Exit(1) from error
            what, do, code = _explain(error)
            print(f"error: {what}", file=sys.stderr)
            print(do, file=sys.stderr)
            raise typer.Exit(code) from error


def _explain(error: BaseException) -> tuple[str, str, int]:
    """What was wrong, what to do, and the exit code."""
    if isinstance(error, KeyboardInterrupt):
        return "stopped by the keyboard", _how_to_resume(sys.argv[1:]), 130
    if isinstance(error, LongtailError):
        return _line(error.what), _line(error.do) or "see longtail --help", 2
    if isinstance(error, UsageError):
        context = getattr(error, "ctx", None)
        path = "longtail" if context is None else context.command_path
        return _line(error.format_message()).rstrip("."), f"see {path} --help", 2
    return _line(str(error)), "check the path, its permissions and the room on the disk", 2


def _line(text: str) -> str:
    return " ".join(text.split())


def _how_to_resume(argv: Sequence[str]) -> str:
    if not any(verb in argv for verb in RESUMABLE):
        return "nothing was left half-written; run the command again"
    words = ["longtail", *argv] + ([] if "--resume" in argv else ["--resume"])
    return f"go on where it stopped: {shlex.join(words)}"


def _silence_stdout() -> None:
    """Whoever read our output has left; write what remains to nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _version(show: bool) -> None:
    if show:
        from longtail import __version__

        print(f"longtail {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="longtail",
    cls=Verbs,
    help="Deep long-tailed learning: classifiers that work for every class, not only the common ones.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Options of every verb (read by :class:`Verbs`)."""


app.command()(audit)
app.command()(train)
app.command()(compare)
app.command()(evaluate)
app.command()(predict)
app.command()(report)
app.command("list")(list_records)
app.command()(explain)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; ``--debug`` may stand anywhere."""
    words = list(sys.argv[1:] if argv is None else argv)
    if "--debug" in words:
        words = ["--debug", *[w for w in words if w != "--debug"]]
    app(words, prog_name="longtail")
