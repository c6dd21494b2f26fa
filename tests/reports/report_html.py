"""A page as its elements, for checks of structure without a browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "input", "br"}


@dataclass
class Element:
    """A tag with its attributes, its own and its children's text."""

    tag: str
    attrs: dict[str, str | None]
    text: str = ""
    parents: tuple[str, ...] = ()
    children: list[Element] = field(default_factory=list)


class Page(HTMLParser):
    """All elements of a page in order; fails on tags that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.all: list[Element] = []
        self.open: list[Element] = []
        self.feed(text)
        self.close()
        assert not self.open, [e.tag for e in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs), parents=tuple(e.tag for e in self.open))
        self.all.append(element)
        if self.open:
            self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, (tag, self.open[-1])
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for element in self.open:
            if element.tag not in ("html", "body"):
                element.text += data

    def find(self, tag: str) -> list[Element]:
        """Every element of that tag."""
        return [e for e in self.all if e.tag == tag]
