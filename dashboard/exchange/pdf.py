"""A case as one page of PDF: state, result, pictures, probabilities, signatures, the model; pure, no patient.

Words are written with the fonts that every reader has and are not compressed: whoever keeps the file
can read them back. What does not fit on the page is counted, never dropped in silence.
"""

from __future__ import annotations

import io
from typing import Any, Final

import cv2
import numpy as np
from reportlab.lib.colors import HexColor  # type: ignore[import-untyped]
from reportlab.lib.pagesizes import A4  # type: ignore[import-untyped]
from reportlab.lib.units import mm  # type: ignore[import-untyped]
from reportlab.lib.utils import ImageReader, simpleSplit  # type: ignore[import-untyped]
from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]

from dashboard.exchange.facts import ReportFacts, ReportPicture, latin
from dashboard.page.models import ModelView
from wire_protocol.words import RESEARCH_USE_ONLY, class_word, percent

_INK, _SOFT, _LINE = HexColor("#17161f"), HexColor("#565665"), HexColor("#d5d7e0")
_BAR, _WARN, _SIGNED = HexColor("#3b4f8f"), HexColor("#8a4b00"), HexColor("#1d5a3a")
_WIDTH, _HEIGHT = A4
_LEFT, _RIGHT = 18 * mm, _WIDTH - 18 * mm
_MIDDLE = _LEFT + 92 * mm
#: Longest edge of a picture on the page: 300 dots an inch of the largest.
_PICTURE_PX: Final = 1060
_MOST_PICTURES, _MOST_SIGNATURES, _MOST_CARD_LINES = 5, 4, 12


def case_pdf(facts: ReportFacts, card: ModelView) -> bytes:
    """The page."""
    page = _Page(facts)
    page.head()
    page.result()
    page.pictures()
    page.signatures()
    page.model(card)
    return page.close()


class _Page:
    """A canvas and how far down it is written."""

    def __init__(self, facts: ReportFacts) -> None:
        self._facts = facts
        self._out = io.BytesIO()
        # Invariant: no clock of its own, the same facts give the same bytes.
        self._canvas: Any = Canvas(self._out, pagesize=A4, pageCompression=0, invariant=1)
        self._canvas.setTitle(latin(f"Blood smear report {facts.key.text}"))
        self._canvas.setSubject(RESEARCH_USE_ONLY)
        self._y = _HEIGHT - 16 * mm

    def close(self) -> bytes:
        """The foot and the file."""
        facts = self._facts
        self._y = 15 * mm
        self._write(RESEARCH_USE_ONLY, size=10, bold=True, color=_WARN)
        self._write(
            f"Report {facts.report_id}, made at {facts.made_at} from what was stored then. "
            "Page 1 of 1.",
            size=7,
            color=_SOFT,
        )
        self._canvas.showPage()
        self._canvas.save()
        return self._out.getvalue()

    def head(self) -> None:
        """What it is, of which case, and what it is worth."""
        facts = self._facts
        self._write(RESEARCH_USE_ONLY, size=10, bold=True, color=_WARN)
        self._y -= 3 * mm
        self._write(f"Blood smear report, case {facts.key.text}", size=17, bold=True)
        cells = "not counted" if facts.white_cells is None else str(facts.white_cells)
        self._write(
            f"First field captured {facts.first_captured_at}. Fields: {facts.fields}. "
            f"White cells: {cells}.",
            size=9,
            color=_SOFT,
        )
        self._y -= 1.5 * mm
        color = _SIGNED if facts.is_signed else _WARN
        self._write(facts.state_words, size=11, bold=True, color=color)
        self._rule()

    def result(self) -> None:
        """The person's result, or the AI's where nobody signed."""
        facts = self._facts
        signed = facts.signature
        if signed is not None:
            title = "Withdrawn" if signed.finding is None else f"Signed result: {signed.words}"
            self._write(title, size=15, bold=True)
            self._write(f"The AI said: {facts.ai_words}.{_synthetic(facts)}", size=10)
        else:
            self._write(f"AI draft: {facts.ai_words}", size=15, bold=True)
            if facts.ai_text:
                self._write(facts.ai_text, size=9)
        self._y -= 3 * mm

    def pictures(self) -> None:
        """The field that stands for the case beside the probabilities, others small below."""
        top = self._y
        shown = self._facts.pictures[:_MOST_PICTURES]
        bottom = self._bars(top)
        if shown:
            bottom = min(bottom, self._picture(shown[0], _LEFT, top, 86 * mm, 66 * mm, size=7))
        else:
            self._write("Only a small preview has come: no picture yet.", size=9)
        self._y = bottom - 2 * mm
        others = shown[1:]
        if others:
            wide = (_RIGHT - _LEFT - 9 * mm) / 4
            ends = [
                self._picture(one, _LEFT + n * (wide + 3 * mm), self._y, wide, 30 * mm, size=6)
                for n, one in enumerate(others)
            ]
            self._y = min(ends) - 2 * mm
        more = len(self._facts.pictures) - len(shown)
        if more > 0:
            self._write(f"and {more} more field{'s' * (more > 1)}, not shown here.", size=8)
        self._rule()

    def signatures(self) -> None:
        """Who signed what and when, the last first."""
        signatures = self._facts.signatures[::-1]
        self._write("Signature", size=11, bold=True)
        if not signatures:
            self._write("None. Nobody has signed this; it may be wrong.", size=9)
        for one in signatures[:_MOST_SIGNATURES]:
            how = "confirmed the AI's answer" if one.confirms else "own answer"
            seen = "AI's answer seen before" if one.ai_seen else "AI's answer not seen before"
            how = f", {how}, {seen}" if one.finding is not None else ""
            state = one.status.value.replace("_", " ")
            self._write(f"{one.at}  {one.by}: {state}, {one.words}{how}.", size=9)
        if len(signatures) > _MOST_SIGNATURES:
            count = len(signatures) - _MOST_SIGNATURES
            self._write(f"and {count} earlier, see the CSV or FHIR report.", size=8)
        self._rule()

    def model(self, card: ModelView) -> None:
        """What the model is, as far as its card is known here."""
        facts = self._facts
        self._write("Model", size=11, bold=True)
        kind = f", {card.architecture}" if card.architecture else ""
        self._write(f"{facts.model}{kind}. Trained on {facts.training_data or 'unknown'} images.")
        limits = [limit for limit in card.limits_of_use if limit != RESEARCH_USE_ONLY]
        lines = [f"Limit: {limit}" for limit in limits]
        lines += [f"{figure.name}: {figure.words}" for figure in card.figures]
        if not card.is_known:
            lines = ["Its card is not on this machine."]
        for line in lines[:_MOST_CARD_LINES]:
            if self._y < 32 * mm:
                break
            self._write(line, size=8, color=_SOFT)
            lines = lines[1:]
        if lines:
            self._write(f"and {len(lines)} more lines in its card.", size=8, color=_SOFT)

    def _bars(self, top: float) -> float:
        canvas, y = self._canvas, top - 4 * mm
        canvas.setFillColor(_INK)
        canvas.setFont("Helvetica-Bold", 10)
        canvas.drawString(_MIDDLE, y, "Calibrated probabilities of the model")
        known = self._facts.probabilities
        if not known:
            why = "Fields came after the signature: they are not those signed."
            if not self._facts.new_fields:
                why = "None: the model cannot say."
            canvas.setFont("Helvetica", 9)
            for line in simpleSplit(why, "Helvetica", 9, _RIGHT - _MIDDLE):
                y -= 5 * mm
                canvas.drawString(_MIDDLE, y, line)
            return float(y)
        full = _RIGHT - _MIDDLE
        for key, p in sorted(known.items(), key=lambda item: (-item[1], item[0]))[:7]:
            y -= 6 * mm
            canvas.setFillColor(_INK)
            canvas.setFont("Helvetica", 9)
            canvas.drawString(_MIDDLE, y, latin(class_word(key)))
            canvas.drawRightString(_RIGHT, y, percent(p))
            y -= 3.5 * mm
            canvas.setFillColor(_LINE)
            canvas.rect(_MIDDLE, y, full, 2.2 * mm, stroke=0, fill=1)
            canvas.setFillColor(_BAR)
            canvas.rect(_MIDDLE, y, full * min(1.0, max(0.0, p)), 2.2 * mm, stroke=0, fill=1)
        return float(y)

    def _picture(
        self, picture: ReportPicture, x: float, top: float, wide: float, high: float, *, size: float
    ) -> float:
        """The picture with its digest below; where it ends."""
        canvas = self._canvas
        jpeg = _small(picture.data) if picture.data is not None else None
        if jpeg is None:
            why = picture.missing or "the picture cannot be decoded"
            canvas.setFillColor(_SOFT)
            canvas.setFont("Helvetica", 8)
            y = top - 4 * mm
            for line in simpleSplit(f"No picture: {why}.", "Helvetica", 8, wide):
                canvas.drawString(x, y, line)
                y -= 4 * mm
        else:
            image = ImageReader(io.BytesIO(jpeg))
            px, py = image.getSize()
            scale = min(wide / px, high / py)
            canvas.drawImage(image, x, top - py * scale, px * scale, py * scale)
            y = top - py * scale - 3 * mm
        canvas.setFillColor(_SOFT)
        canvas.setFont("Helvetica", size)
        canvas.drawString(x, y, latin(f"{picture.captured_at}, {picture.device}"))
        canvas.drawString(x, y - size * 1.25, f"sha256 {picture.sha256[:24]}...")
        return float(y - size * 1.25)

    def _write(self, text: str, *, size: float = 9, bold: bool = False, color: Any = _INK) -> None:
        font = "Helvetica-Bold" if bold else "Helvetica"
        self._canvas.setFillColor(color)
        self._canvas.setFont(font, size)
        for line in simpleSplit(latin(text), font, size, _RIGHT - _LEFT):
            self._canvas.drawString(_LEFT, self._y - size, line)
            self._y -= size * 1.3

    def _rule(self) -> None:
        self._y -= 2 * mm
        self._canvas.setStrokeColor(_LINE)
        self._canvas.line(_LEFT, self._y, _RIGHT, self._y)
        self._y -= 3 * mm


def _synthetic(facts: ReportFacts) -> str:
    return " Synthetic-trained." if facts.training_data == "synthetic" else ""


def _small(data: bytes) -> bytes | None:
    """A JPEG of the picture as it is stored, not turned; None where it cannot be decoded."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    if pixels is None:
        return None
    scale = min(1.0, _PICTURE_PX / max(pixels.shape[:2]))
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes())
