"""Figures as a table that scrolls by itself on a phone, so that the page around it never does."""

from __future__ import annotations

from collections.abc import Sequence

from service_runtime.report_page.markup import Element, tag


def table(
    title: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    note: str = "",
    is_folded: bool = False,
    kind: str = "",
) -> Element:
    """A table whose rows begin with their head; a row of a single cell heads those below it."""
    head = tag("tr", *(tag("th", words, scope="col") for words in heads))
    body = [
        tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:]))
        if len(row) > 1
        else tag("tr", tag("th", row[0], scope="colgroup", colspan=len(heads)), class_="group")
        for row in rows
    ]
    made = tag(
        "table", tag("thead", head), tag("tbody", *body), aria_label=title, class_=kind or None
    )
    scroll = tag("div", made, class_="scroll", tabindex="0", role="region", aria_label=title)
    below = tag("p", note, class_="note") if note else None
    if is_folded:
        return tag("details", tag("summary", title), scroll, below)
    return tag("div", tag("h3", title), scroll, below)
