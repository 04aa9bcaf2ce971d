"""The patient's copy as one page of PDF with large letters; pure, and it names nobody: a name is written by hand."""

from __future__ import annotations

from dashboard.exchange.facts import ReportFacts
from dashboard.exchange.patient_words import PatientCopy
from dashboard.exchange.pdf_page import LEFT, LINE, MM, RIGHT, SOFT, WARN, Box, PdfPage
from dashboard.exchange.report_pictures import small_jpeg

_PICTURE = Box(RIGHT - 58 * MM, 0, 58 * MM, 44 * MM)
_PICTURE_PX = 700


def patient_pdf(copy: PatientCopy, facts: ReportFacts) -> bytes:
    """The page."""
    page = PdfPage(copy.title)
    page.write(copy.research, size=11, bold=True, color=WARN)
    page.y -= 3 * MM
    page.write(copy.title, size=20, bold=True)
    page.y -= 3 * MM
    page.write("Name (written by hand):", size=11, color=SOFT)
    page.canvas.setStrokeColor(LINE)
    page.canvas.line(LEFT + 48 * MM, page.y + 1 * MM, RIGHT, page.y + 1 * MM)
    page.y -= 4 * MM
    beside = _picture(page, facts)
    for heading, words in copy.parts:
        # Beside the picture lines are shorter.
        right = _PICTURE.left - 6 * MM if page.y > beside else RIGHT
        page.write(heading, size=14, bold=True, right=right)
        page.y -= 1 * MM
        page.write(words, size=12.5, right=right)
        page.y -= 4 * MM
    page.y = min(page.y, beside - 2 * MM)
    page.write("What you can ask your doctor", size=14, bold=True)
    page.y -= 1 * MM
    for question in copy.questions:
        page.write(f"-  {question}", size=12.5)
    page.rule()
    page.write(copy.signed, size=12.5)
    page.y -= 2 * MM
    return page.close(copy.foot, size=9)


def _picture(page: PdfPage, facts: ReportFacts) -> float:
    """One of the pictures that were signed; where it ends."""
    signed = facts.signature
    shown = next((one for one in facts.pictures if not one.is_new and one.data), None)
    jpeg = None if shown is None else small_jpeg(shown.data or b"", _PICTURE_PX)
    if jpeg is None or signed is None or signed.finding is None:
        return page.y
    top = page.y
    low = page.picture(jpeg, Box(_PICTURE.left, top, _PICTURE.wide, _PICTURE.high))
    return page.caption(_PICTURE.left, low, "One of the pictures of your blood", size=8)
