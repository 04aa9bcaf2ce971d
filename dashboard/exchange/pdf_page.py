"""An A4 page of PDF that is written from top to bottom; pure, and the same input gives the same bytes.

Words are written with the fonts that every reader has and are not compressed: whoever keeps the file
can read them back.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from reportlab.lib.colors import HexColor  # type: ignore[import-untyped]
from reportlab.lib.pagesizes import A4  # type: ignore[import-untyped]
from reportlab.lib.units import mm  # type: ignore[import-untyped]
from reportlab.lib.utils import ImageReader, simpleSplit  # type: ignore[import-untyped]
from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]

from dashboard.exchange.facts import latin
from wire_protocol.words import RESEARCH_USE_ONLY

INK, SOFT, LINE = HexColor("#17161f"), HexColor("#565665"), HexColor("#d5d7e0")
BAR, WARN, SIGNED = HexColor("#3b4f8f"), HexColor("#8a4b00"), HexColor("#1d5a3a")
WIDTH, HEIGHT = A4
MM = float(mm)
LEFT, RIGHT = 18 * MM, float(WIDTH) - 18 * MM
MIDDLE = LEFT + 91 * MM


@dataclass(frozen=True, slots=True)
class Box:
    """Where a picture may be; in points, from its upper left corner."""

    left: float
    top: float
    wide: float
    high: float


class PdfPage:
    """A canvas and how far down it is written."""

    def __init__(self, title: str) -> None:
        self._out = io.BytesIO()
        # Invariant: no clock of its own.
        self.canvas: Any = Canvas(self._out, pagesize=A4, pageCompression=0, invariant=1)
        self.canvas.setTitle(latin(title))
        self.canvas.setSubject(RESEARCH_USE_ONLY)
        self.y: float = HEIGHT - 14 * MM

    def close(self, foot: str, *, size: float = 7) -> bytes:
        """The foot and the file."""
        self.y = 12 * MM + size * 1.2
        self.write(RESEARCH_USE_ONLY, size=10, bold=True, color=WARN)
        self.write(foot, size=size, color=SOFT)
        self.canvas.showPage()
        self.canvas.save()
        return self._out.getvalue()

    def write(
        self,
        text: str,
        *,
        size: float = 9,
        bold: bool = False,
        color: Any = INK,
        left: float = LEFT,
        right: float = RIGHT,
    ) -> None:
        """Lines as wide as they may be, then below them."""
        font = "Helvetica-Bold" if bold else "Helvetica"
        self.canvas.setFillColor(color)
        self.canvas.setFont(font, size)
        for line in simpleSplit(latin(text), font, size, right - left):
            self.canvas.drawString(left, self.y - size, line)
            self.y -= size * 1.3

    def rule(self) -> None:
        """A line across."""
        self.y -= 1.5 * MM
        self.canvas.setStrokeColor(LINE)
        self.canvas.line(LEFT, self.y, RIGHT, self.y)
        self.y -= 2.5 * MM

    def picture(self, jpeg: bytes | None, box: Box, words: str = "") -> float:
        """A picture as large as fits, or the words why there is none; where it ends."""
        if jpeg is not None:
            image = ImageReader(io.BytesIO(jpeg))
            px, py = image.getSize()
            scale = min(box.wide / px, box.high / py)
            low = box.top - float(py) * scale
            self.canvas.drawImage(image, box.left, low, px * scale, py * scale)
            return float(low)
        kept, self.y = self.y, box.top
        self.write(words, size=8, color=SOFT, left=box.left, right=box.left + box.wide)
        ends, self.y = self.y, kept
        return ends

    def caption(self, left: float, top: float, *lines: str, size: float = 6) -> float:
        """Small lines below a picture; where they end."""
        self.canvas.setFillColor(SOFT)
        self.canvas.setFont("Helvetica", size)
        for line in lines:
            top -= size * 1.25
            self.canvas.drawString(left, top, latin(line))
        return top
