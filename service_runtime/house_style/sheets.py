"""Puts the house style before a page's own rules, so that one file holds all that a page is drawn with."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
#: Colours alone, for what is read and for what is worked with.
COLORS: Final = _HERE / "colors.css"
#: Buttons, dialogs, lists of facts: for what is worked with.
PARTS: Final = _HERE / "parts.css"


def page_sheet(own: Path) -> bytes:
    """The style sheet of a page to work with: colours, parts, then its own rules."""
    return b"\n".join(part.read_bytes() for part in (COLORS, PARTS, own))
