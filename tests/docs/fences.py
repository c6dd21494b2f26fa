"""Fenced blocks of a Markdown file, with the comment line that stands before them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(
    r"(?:<!--\s*(?P<note>.*?)\s*-->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the HTML comment right before it."""

    language: str
    text: str
    note: str
    line: int


def blocks(path: Path) -> list[Block]:
    """All fenced blocks, in order."""
    text = path.read_text("utf-8")
    return [
        Block(m["language"], m["text"], m["note"] or "", text[: m.start()].count("\n") + 1)
        for m in FENCE.finditer(text)
    ]
