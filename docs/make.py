"""Write ``docs/recipes.md`` from the registry: ``python docs/make.py``."""

from __future__ import annotations

from pathlib import Path

from longtail.registry import Record, records

PAGE = Path(__file__).parent / "recipes.md"
HEAD = """# Recipes

Every method is a recipe: `longtail train DATA --recipe NAME`. `longtail explain NAME` shows its
stages and numbers, `--set NAME=VALUE` changes them. Needs: `validation` is cut from the training
rows where the data have none; `unlabelled` rows come with the data, or from `--labelled-share`;
`cuts` are places inside a backbone of ours; `views` are random views of an image.

This page is written from the registry by `python docs/make.py`.
"""


def row(record: Record) -> str:
    """One line of the table."""
    summary = record.summary.replace("``", "`").replace("|", "\\|")
    on = "all" if len(record.modalities) == 3 else ", ".join(record.modalities)
    needs = ", ".join(record.needs) or "-"
    return f"| `{record.name}` | {summary} | {on} | {needs} | {record.reference} |"


def page() -> str:
    """The whole page."""
    found = records("recipes")
    out = [HEAD]
    for family in dict.fromkeys(r.family for r in found):
        out.append(f"## {family.replace('_', ' ').capitalize()}\n")
        out.append(
            "| recipe | what it does | works on | needs | reference |\n|---|---|---|---|---|"
        )
        out += [row(r) for r in found if r.family == family]
        out.append("")
    return "\n".join(out)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
