"""A report as one HTML file that needs no other: no script, font or address, and a policy that forbids loading."""

from __future__ import annotations

from pathlib import Path

from service_runtime.house_style.sheets import COLORS
from service_runtime.report_page.markup import Element, page_text, tag

HOUSE_STYLE = Path(__file__).with_name("house.css")


def house_page(
    title: str, *body: Element | None, own_style: Path | None = None, has_pictures: bool = False
) -> str:
    """The whole file; `has_pictures` allows pictures that are part of it, and no others."""
    pictures = "; img-src data:" if has_pictures else ""
    sheets = [COLORS, HOUSE_STYLE, *([] if own_style is None else [own_style])]
    style = "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag(
            "meta",
            http_equiv="Content-Security-Policy",
            content=f"default-src 'none'; style-src 'unsafe-inline'{pictures}",
        ),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", style),
    )
    return page_text(tag("html", head, tag("body", *body), lang="en"))


def section(title: str, *children: Element | str | None) -> Element:
    """A part of the page under its heading."""
    return tag("section", tag("h2", title), *children)
