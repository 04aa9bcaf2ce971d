"""Reads a report as a browser would: elements, attributes, text; refuses what is not balanced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "br", "hr", "img", "link", "input"}


@dataclass(slots=True)
class Node:
    """An element with what it holds, in order."""

    name: str
    attributes: dict[str, str]
    children: list[Node | str] = field(default_factory=list)

    def find(self, name: str = "", kind: str = "") -> Iterator[Node]:
        """All elements of this name and class below it."""
        for child in self.children:
            if isinstance(child, Node):
                kinds = child.attributes.get("class", "").split()
                if name in ("", child.name) and (not kind or kind in kinds):
                    yield child
                yield from child.find(name, kind)

    def text(self, without: frozenset[str] = frozenset()) -> str:
        """What is read out; elements of these names, and hidden ones, are left out."""
        parts = []
        for child in self.children:
            if isinstance(child, str):
                parts.append(child)
            elif child.name not in without and child.attributes.get("aria-hidden") != "true":
                parts.append(child.text(without))
        return " ".join(" ".join(parts).split())

    def number(self, attribute: str) -> float:
        """An attribute that is a number."""
        return float(self.attributes[attribute])


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in _VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].name == tag, f"</{tag}> closes <{self.open[-1].name}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_page(page: str) -> Node:
    """The page's root."""
    assert page.startswith("<!doctype html>\n")
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == [reader.root], f"never closed: {[node.name for node in reader.open[1:]]}"
    return next(reader.root.find("html"))
