"""HTML and SVG as element trees: what comes from a document is text and stays text; nothing is joined from strings."""

from __future__ import annotations

from xml.etree import ElementTree

Element = ElementTree.Element
Child = Element | str | None


def tag(kind: str, /, *children: Child, **attributes: str | float | None) -> Element:
    """An element; `class_` is class, `text_anchor` is text-anchor; None leaves out."""
    made = Element(kind)
    for key, value in attributes.items():
        if value is not None:
            made.set(key.rstrip("_").replace("_", "-"), _plain(value))
    return add(made, *children)


def add(parent: Element, *children: Child) -> Element:
    """The same element with these behind what it holds already."""
    for child in children:
        if isinstance(child, str):
            if len(parent):
                parent[-1].tail = (parent[-1].tail or "") + child
            else:
                parent.text = (parent.text or "") + child
        elif child is not None:
            parent.append(child)
    return parent


def page_text(html: Element) -> str:
    """The whole file."""
    return "<!doctype html>\n" + ElementTree.tostring(html, encoding="unicode", method="html")


def _plain(value: str | float) -> str:
    """A hundredth of a pixel is enough for any picture."""
    if isinstance(value, str):
        return value
    return f"{value:.2f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"
