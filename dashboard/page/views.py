"""What the page is told, as frozen values that become its JSON; the words of results and urgencies are made here.

Names no file and no patient. What the desk keeps back until the reader has answered is not in them.
(Over 250 lines: a catalogue reads best whole.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from dashboard.page.cells import order_cells
from dashboard.review.events import (
    AnyEvent,
    Placed,
    Referred,
    RetakeAnswered,
    RetakeAsked,
    Undone,
)
from dashboard.review.findings import FINDING_WORDS, finding_of
from dashboard.review.machine import Review, what_happened
from dashboard.review.views import CaseDetail, CaseSummary, FieldDetail
from dashboard.words import with_override, with_warning
from service_runtime.boot import wall_time
from wire_protocol.case_messages import Finding
from wire_protocol.json_messages import ACUTE_UNCERTAIN, Urgency
from wire_protocol.words import NOT_REVIEWED, RESEARCH_USE_ONLY, class_word, override_words, percent


class View(BaseModel):
    """Base of all."""

    model_config = ConfigDict(frozen=True)


class LineView(View):
    """A line of the worklist; `urgency` is "" where the model's answer is kept back."""

    key: str
    case_id: str
    site: str
    device: str
    urgency: str
    rank: int
    result: str
    fields: int
    retakes: int
    #: Fields of which only a small preview has come.
    previews: int
    white_cells: int | None
    status: str
    since: str
    #: The newest change when this was read: of two lines the one with the higher number counts.
    event_id: int
    version: int
    signed_as: str
    signed_by: str
    referred: bool
    retake: str
    new_fields: int
    is_open: bool
    is_unread: bool


class WorklistView(View):
    """Part of the list."""

    store_id: str
    event_id: int
    total: int
    now: str
    lines: tuple[LineView, ...]


class BarView(View):
    """One probability: how far its bar goes, and what stands beside it."""

    key: str
    name: str
    share: float
    words: str


class CellView(View):
    """One crop: a square of a field's picture, in its pixels."""

    image_id: str
    x: int
    y: int
    side: int
    bar_um: float | None
    bar_share: float | None


class FieldView(View):
    """One field."""

    image_id: str
    sha256: str
    device: str
    urgency: str
    text: str
    bars: tuple[BarView, ...]
    notes: tuple[str, ...]
    white_cells: int | None
    is_counted: bool
    um_per_px: float | None
    width_px: int | None
    height_px: int | None
    captured_at: str
    recorded_at: str
    latency_ms: float | None
    #: Of 100 calibration images so many are nearer to the training images.
    far: int | None
    has_image: bool
    #: Only a small preview has come: the picture is on its way.
    is_preview: bool
    model: str


class DeedView(View):
    """One thing that a person did, or that a microscope answered."""

    what: str
    person: str
    at: str
    comment: str
    fab: str
    saw_ai: bool


class HeldView(View):
    """An answer that is about to be signed."""

    person: str
    words: str
    is_own: bool
    undo_s: float


class CaseView(View):
    """A case from top to bottom."""

    store_id: str
    line: LineView
    now: str
    research_use_only: str
    #: The model's answer is kept back until the reader has given one.
    is_blind: bool
    text: str
    reason: str
    #: What Confirm would sign and its words; "" where there is nothing to confirm.
    confirms: str
    bars: tuple[BarView, ...]
    cells: tuple[CellView, ...]
    #: Fields whose white cells were counted.
    counted_fields: int
    fields: tuple[FieldView, ...]
    model: str
    training_data: str
    combined: str
    deeds: tuple[DeedView, ...]
    held: HeldView | None
    #: What stands signed, in words; "" where nothing does.
    signed: str
    signed_at: str


def line_view(line: CaseSummary, event_id: int) -> LineView:
    """A line as the list shows it."""
    return LineView(
        key=line.key,
        case_id=line.case_id,
        site=line.site,
        device=line.device,
        urgency=line.urgency,
        rank=line.rank,
        result=_result_word(line),
        fields=line.fields,
        retakes=line.retakes,
        previews=line.previews,
        white_cells=line.white_cells,
        status=line.status,
        since=line.first_recorded_at,
        event_id=event_id,
        version=line.version,
        signed_as=_finding_words(line.finding),
        signed_by=line.signed_by,
        referred=line.referred_to is not None,
        retake=line.retake,
        new_fields=line.new_fields,
        is_open=line.is_open,
        is_unread=line.is_unread,
    )


def case_view(
    case: CaseDetail,
    *,
    store_id: str,
    account: str,
    now_ms: int,
    names: Mapping[str, str],
) -> CaseView:
    """A case as the page shows it; `names` are the model's own words for its classes."""
    line, review = case.summary, case.review
    hides = line.ai_hidden
    finding = None if hides else finding_of(line.result, line.urgency)
    return CaseView(
        store_id=store_id,
        line=line_view(line, case.change_id),
        now=wall_time(),
        research_use_only=RESEARCH_USE_ONLY,
        is_blind=hides,
        text=line.text if hides else with_warning(_said(line.text, line.signed_at)),
        reason=line.reason.replace("_", " "),
        confirms="" if finding is None else FINDING_WORDS[finding],
        bars=bars(case.probabilities or {}, names),
        cells=tuple(
            CellView(
                image_id=cell.image_id,
                x=cell.x,
                y=cell.y,
                side=cell.side_px,
                bar_um=cell.bar_um,
                bar_share=cell.bar_share,
            )
            for cell in order_cells(case.fields)
        ),
        counted_fields=sum(1 for field in case.fields if field.white_cell_boxes is not None),
        fields=tuple(_field_view(field, names, line.signed_at) for field in case.fields),
        model=model_of(case),
        training_data=case.training_data,
        combined=case.combined,
        deeds=tuple(_deed(event) for event in review.events if _is_told(event)),
        held=_held(review, account, now_ms),
        signed=_finding_words(line.finding) if line.signed_at else "",
        signed_at=line.signed_at,
    )


def model_of(case: CaseDetail) -> str:
    """The model whose answer the case shows, with its engine; "" where no model saw it."""
    named = (field.model for field in case.fields if field.model.startswith(case.bundle or "?"))
    return next(named, next((field.model for field in case.fields if field.model), ""))


def bars(
    probabilities: Mapping[str, float | None], names: Mapping[str, str]
) -> tuple[BarView, ...]:
    """The classes from the most to the least probable; none where the model gave none."""
    known = [(key, p) for key, p in probabilities.items() if p is not None]
    known.sort(key=lambda item: (-item[1], item[0]))
    return tuple(
        BarView(
            key=key,
            name=names.get(key, class_word(key)),
            share=round(min(0.99, max(0.0, p)), 4),
            words=percent(p),
        )
        for key, p in known
    )


def _said(text: str, signed_at: str) -> str:
    """The AI's sentence; beside a signature it does not call itself unreviewed."""
    return text.replace(NOT_REVIEWED, "This is what the AI said.") if signed_at else text


def _field_view(field: FieldDetail, names: Mapping[str, str], signed_at: str) -> FieldView:
    text = field.text
    if field.gate_override and not field.ai_hidden:
        text = with_override(text, field.override_reason)
    return FieldView(
        image_id=field.image_id,
        sha256=field.sha256,
        device=field.device,
        urgency=field.urgency,
        text="" if field.ai_hidden else with_warning(_said(text, signed_at)),
        bars=bars(field.probabilities, names),
        notes=_notes(field),
        white_cells=field.white_cells,
        is_counted=field.white_cell_boxes is not None,
        um_per_px=field.um_per_px,
        width_px=field.width_px,
        height_px=field.height_px,
        captured_at=field.captured_at,
        recorded_at=field.recorded_at,
        latency_ms=field.latency_ms,
        far=None if field.ood_percentile is None else round(field.ood_percentile),
        has_image=field.has_image,
        is_preview=field.is_preview,
        model=field.model,
    )


def _notes(field: FieldDetail) -> tuple[str, ...]:
    """What should be known of a field's quality, in sentences."""
    found = []
    if field.gate_override:
        found.append(override_words(field.override_reason))
    if field.um_per_px is None and field.has_image:
        found.append("No scale: the size of a pixel is not known.")
    return tuple(found)


def _is_told(event: AnyEvent) -> bool:
    return isinstance(event, Placed | Undone | Referred | RetakeAsked | RetakeAnswered)


def _deed(event: AnyEvent) -> DeedView:
    comment = getattr(event, "comment", "")
    words = what_happened(event)
    if isinstance(event, RetakeAnswered):
        words, comment = "the microscope answered", event.text
    fab = event.fab.value if isinstance(event, Placed) and event.fab else ""
    saw_ai = not isinstance(event, Placed) or event.ai_seen
    at = wall_time(datetime.fromtimestamp(event.at_ms / 1000, UTC))
    return DeedView(what=words, person=event.by, at=at, comment=comment, fab=fab, saw_ai=saw_ai)


def _held(review: Review, account: str, now_ms: int) -> HeldView | None:
    held = review.held
    if held is None:
        return None
    return HeldView(
        person=held.by,
        words=what_happened(held),
        is_own=held.by == account,
        undo_s=round(max(0, held.due_ms - now_ms) / 1000, 2),
    )


def _finding_words(finding: str) -> str:
    try:
        return FINDING_WORDS[Finding(finding)]
    except ValueError:
        return ""


def _result_word(line: CaseSummary) -> str:
    """The class beside the urgency, where it says more than the urgency does."""
    if line.result == ACUTE_UNCERTAIN:
        return "lineage uncertain"
    is_said = line.urgency in (Urgency.SUSPECTED_ACUTE, Urgency.SUSPECTED_CHRONIC)
    return class_word(line.result) if is_said else ""


def lines_view(cases: Sequence[CaseSummary], event_id: int) -> tuple[LineView, ...]:
    """The lines of an answer that was read at one moment."""
    return tuple(line_view(case, event_id) for case in cases)
