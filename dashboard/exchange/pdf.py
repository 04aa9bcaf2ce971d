"""A case as one page of PDF: state, result, picture, map, probabilities, signatures, the model; pure, no patient.

What does not fit on the page is counted, never dropped in silence.
"""

from __future__ import annotations

from typing import Final

from dashboard.exchange.facts import ReportFacts, ReportPicture, latin
from dashboard.exchange.pdf_page import (
    BAR,
    INK,
    LEFT,
    LINE,
    MIDDLE,
    MM,
    SIGNED,
    SOFT,
    WARN,
    Box,
    PdfPage,
)
from dashboard.exchange.report_pictures import MOST_PX, ReportMap, small_jpeg
from dashboard.page.models import ModelView
from wire_protocol.words import RESEARCH_USE_ONLY, class_word, percent

_MOST_PICTURES, _MOST_SIGNATURES, _MOST_CARD_LINES, _MOST_CLASSES = 5, 4, 12, 7
_WIDE, _HIGH = 83 * MM, 62 * MM
#: Pictures beside the first are small.
_SMALL_PX: Final = 520


def case_pdf(facts: ReportFacts, card: ModelView, drawn: ReportMap | str = "") -> bytes:
    """The page; `drawn` is the class map, or why there is none."""
    page = PdfPage(f"Blood smear report {facts.key.text}")
    _head(page, facts)
    _result(page, facts)
    _first_picture(page, facts, drawn)
    _probabilities_and_others(page, facts)
    _signatures(page, facts)
    _model(page, facts, card)
    return page.close(
        f"Report {facts.report_id}, made at {facts.made_at} from what was stored then. Page 1 of 1."
    )


def _head(page: PdfPage, facts: ReportFacts) -> None:
    """What it is, of which case, and what it is worth."""
    page.write(RESEARCH_USE_ONLY, size=10, bold=True, color=WARN)
    page.y -= 2 * MM
    page.write(f"Blood smear report, case {facts.key.text}", size=17, bold=True)
    cells = "not counted" if facts.white_cells is None else str(facts.white_cells)
    page.write(
        f"First field captured {facts.first_captured_at}. Fields: {facts.fields}. "
        f"White cells: {cells}.",
        color=SOFT,
    )
    page.y -= 1 * MM
    page.write(facts.state_words, size=11, bold=True, color=SIGNED if facts.is_signed else WARN)
    page.rule()


def _result(page: PdfPage, facts: ReportFacts) -> None:
    """The person's result, or the AI's where nobody signed."""
    signed = facts.signature
    if signed is not None:
        title = "Withdrawn" if signed.finding is None else f"Signed result: {signed.words}"
        page.write(title, size=15, bold=True)
        page.write(f"The AI said: {facts.ai_words}.{_synthetic(facts)}", size=10)
    else:
        page.write(f"AI draft: {facts.ai_words}", size=15, bold=True)
        if facts.ai_text:
            page.write(facts.ai_text)
    page.y -= 3 * MM


def _first_picture(page: PdfPage, facts: ReportFacts, drawn: ReportMap | str) -> None:
    """The field that stands for the case, and beside it where the model's answer comes from."""
    if not facts.pictures:
        page.write("Only a small preview has come: no picture yet.")
        page.y -= 2 * MM
        return
    first, top = facts.pictures[0], page.y
    beside = Box(MIDDLE, top, _WIDE, _HIGH)
    if isinstance(drawn, ReportMap):
        # The pair is of one field, whichever field stands for the case by now.
        first = next(one for one in facts.pictures if one.image_id == drawn.image_id)
    ends = [_field(page, first, Box(LEFT, top, _WIDE, _HIGH))]
    if isinstance(drawn, ReportMap):
        low = page.picture(drawn.jpeg, beside)
        said = f"The same field; orange: what made the model say {drawn.class_words}."
        ends.append(page.caption(MIDDLE, low, said, size=7))
    elif drawn:
        ends.append(page.picture(None, beside, f"No class map: {drawn}."))
    page.y = min(ends) - 3 * MM


def _probabilities_and_others(page: PdfPage, facts: ReportFacts) -> None:
    """Bars on the left, the case's other fields on the right."""
    top = page.y
    low = _bars(page, facts)
    others = facts.pictures[1:_MOST_PICTURES]
    wide, high, ends = 40 * MM, 21 * MM, top
    for number, picture in enumerate(others):
        if number % 2 == 0:
            row = top if number == 0 else ends - 2 * MM
        left = MIDDLE + (number % 2) * (wide + 3 * MM)
        ends = min(ends, _field(page, picture, Box(left, row, wide, high)))
    page.y = min(low, ends) - 1 * MM
    more = len(facts.pictures) - _MOST_PICTURES
    if more > 0:
        page.write(f"and {more} more field{'s' * (more > 1)}, not shown here.", size=8)
    page.rule()


def _signatures(page: PdfPage, facts: ReportFacts) -> None:
    """Who signed what and when, the last first."""
    signatures = facts.signatures[::-1]
    page.write("Signature", size=11, bold=True)
    if not signatures:
        page.write("None. Nobody has signed this; it may be wrong.")
    for one in signatures[:_MOST_SIGNATURES]:
        how = "confirmed the AI's answer" if one.confirms else "own answer"
        seen = "AI's answer seen before" if one.ai_seen else "AI's answer not seen before"
        how = f", {how}, {seen}" if one.finding is not None else ""
        state = one.status.value.replace("_", " ")
        page.write(f"{one.at}  {one.by}: {state}, {one.words}{how}.")
    if len(signatures) > _MOST_SIGNATURES:
        count = len(signatures) - _MOST_SIGNATURES
        page.write(f"and {count} earlier, see the CSV or FHIR report.", size=8)
    page.rule()


def _model(page: PdfPage, facts: ReportFacts, card: ModelView) -> None:
    """What the model is, as far as its card is known here."""
    page.write("Model", size=11, bold=True)
    kind = f", {card.architecture}" if card.architecture else ""
    page.write(f"{facts.model}{kind}. Trained on {facts.training_data or 'unknown'} images.")
    limits = [limit for limit in card.limits_of_use if limit != RESEARCH_USE_ONLY]
    lines = [f"Limit: {limit}" for limit in limits]
    lines += [f"{figure.name}: {figure.words}" for figure in card.figures]
    if not card.is_known:
        lines = ["Its card is not on this machine."]
    for line in lines[:_MOST_CARD_LINES]:
        if page.y < 28 * MM:
            break
        page.write(line, size=7.5, color=SOFT)
        lines = lines[1:]
    if lines:
        page.write(f"and {len(lines)} more lines in its card.", size=7.5, color=SOFT)


def _bars(page: PdfPage, facts: ReportFacts) -> float:
    canvas, right = page.canvas, MIDDLE - 8 * MM
    page.write("Calibrated probabilities of the model", size=10, bold=True, right=right)
    known = facts.probabilities
    if not known:
        why = "Fields came after the signature: they are not those signed."
        page.write(why if facts.new_fields else "None: the model cannot say.", right=right)
        return page.y
    ordered = sorted(known.items(), key=lambda item: (-item[1], item[0]))
    y = page.y
    for key, p in ordered[:_MOST_CLASSES]:
        y -= 4.2 * MM
        canvas.setFillColor(INK)
        canvas.setFont("Helvetica", 9)
        canvas.drawString(LEFT, y, latin(class_word(key)))
        canvas.drawRightString(right, y, percent(p))
        y -= 2.9 * MM
        canvas.setFillColor(LINE)
        canvas.rect(LEFT, y, right - LEFT, 1.9 * MM, stroke=0, fill=1)
        canvas.setFillColor(BAR)
        share = min(1.0, max(0.0, p))
        canvas.rect(LEFT, y, (right - LEFT) * share, 1.9 * MM, stroke=0, fill=1)
    if len(ordered) > _MOST_CLASSES:
        y = page.caption(LEFT, y, f"and {len(ordered) - _MOST_CLASSES} classes below these", size=7)
    return y


def _field(page: PdfPage, picture: ReportPicture, box: Box) -> float:
    """A field with its digest below; where it ends."""
    is_small = box.wide < _WIDE
    jpeg = None
    if picture.data is not None:
        jpeg = small_jpeg(picture.data, _SMALL_PX if is_small else MOST_PX)
    why = picture.missing or "the picture cannot be decoded"
    low = page.picture(jpeg, box, f"No picture: {why}.")
    lines = f"{picture.captured_at}, {picture.device}", f"sha256 {picture.sha256[:24]}..."
    return page.caption(box.left, low, *lines, size=5.5 if is_small else 7)


def _synthetic(facts: ReportFacts) -> str:
    return " Synthetic-trained." if facts.training_data == "synthetic" else ""
