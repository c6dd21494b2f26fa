"""What answers at once: help, listing and explaining, without torch."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from longtail.registry import KINDS, records

LIGHT = (["--help"], ["train", "--help"], ["list", "recipes"], ["explain", "ldam_drw"])


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "longtail", *words], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("words", LIGHT, ids=" ".join)
def test_no_torch(words: list[str]) -> None:
    code = (
        "import sys, longtail.cli\n"
        "try:\n    longtail.cli.main(sys.argv[1:])\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'numpy', 'scipy', 'sklearn', 'plotly'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    got = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    assert got.returncode == 0, got.stderr
    assert got.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_list_json(kind: str) -> None:
    got = run("list", kind, "--json")
    assert got.returncode == 0, got.stderr
    found = json.loads(got.stdout)
    assert [r["name"] for r in found] == [r.name for r in records(kind)]
    for row in found:
        assert {"name", "family", "tier", "reference", "summary", "modalities", "needs"} <= set(row)


def test_list_is_read_by_people() -> None:
    got = run("list")
    for record in records("recipes"):
        assert record.name in got.stdout
    assert max(map(len, got.stdout.splitlines())) <= 100


@pytest.mark.parametrize("record", records("recipes"), ids=lambda r: r.name)
def test_explain_shows_the_numbers(record, capsys) -> None:
    from longtail.cli.explain import explain

    explain(record.name)
    out = capsys.readouterr().out
    assert out.startswith(f"{record.name} (recipe): ")
    assert record.reference.split()[0] in out
    assert "stage 0" in out
    assert "loss:" in out
    assert re.search(r"prior: +(from sampler|not known)", out)
    assert "target as_trained" in " ".join(out.split())
    for need in record.needs:
        assert need in out


def test_an_alias_answers(capsys) -> None:
    from longtail.cli.explain import explain

    explain("decouple_crt")
    assert capsys.readouterr().out.startswith("crt (recipe)")


@pytest.mark.parametrize(
    ("words", "what", "do"),
    [
        (("list", "lossses"), "there is no kind 'lossses'", "did you mean 'losses'?"),
        (("explain", "balanced_sofmax"), "balanced_sofmax", "did you mean 'balanced_softmax'?"),
        (("train", "digits-lt", "--recipe", "ldam_drv"), "'ldam_drv'", "did you mean 'ldam_drw'?"),
        (("compare", "digits-lt", "--recipes", "ce,crtt"), "'crtt'", "did you mean 'crt'?"),
        (("report", "nowhere"), "nowhere is no run folder", "train or compare"),
    ],
    ids=lambda v: v if isinstance(v, str) else " ".join(v),
)
def test_an_error_is_two_lines(words: tuple[str, ...], what: str, do: str) -> None:
    got = run(*words)
    assert got.returncode == 2
    assert got.stdout == ""
    first, second = got.stderr.splitlines()
    assert first.startswith("error: ")
    assert what in first
    assert do in second


def test_debug_shows_the_traceback() -> None:
    got = run("explain", "nothing_of_that_name", "--debug")
    assert got.returncode == 1
    assert "Traceback" in got.stderr
    assert "UnknownNameError" in got.stderr


def test_version() -> None:
    import longtail

    assert run("--version").stdout.strip() == f"longtail {longtail.__version__}"
