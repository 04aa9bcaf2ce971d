"""What the desk gives its readers: frozen values, no database row among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dashboard.cases.feed import Change
from dashboard.review.machine import Review

#: x, y, width and height in pixels of the archived image.
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class CaseSummary:
    """A case in the worklist. Where the AI's answer is kept back, everything it said is empty."""

    key: str
    site: str
    case_id: str
    device: str
    urgency: str
    rank: int
    result: str
    reason: str
    text: str
    p_acute: float | None
    fields: int
    #: Fields that are to be taken again.
    retakes: int
    acute_fields: int
    white_cells: int | None
    #: draft, final, amended or entered_in_error; preview where nothing else has come.
    status: str
    #: Fields of which only a preview has come.
    previews: int
    #: The number to act on: of the last event that a person caused.
    version: int
    #: What a person signed, "" where nothing stands.
    finding: str
    signed_by: str
    signed_at: str
    #: Whose answer is about to be signed, and when (Unix milliseconds).
    held_by: str
    held_due_ms: int | None
    #: Fields that came after the signature.
    new_fields: int
    #: None: not referred; "": to anybody.
    referred_to: str | None
    #: "", "asked", "done" or "refused".
    retake: str
    is_open: bool
    is_unread: bool
    first_captured_at: str
    #: RFC 3339 by the store's clock: since when it waits.
    first_recorded_at: str
    last_recorded_at: str
    #: The field that stands for the case; sha256 is "" where there is no picture.
    leading_image_id: str
    leading_sha256: str
    ai_hidden: bool = False


@dataclass(frozen=True, slots=True)
class WorklistPage:
    """Part of the list; `change_id` was the newest change when it was read."""

    change_id: int
    total: int
    unread: int
    cases: tuple[CaseSummary, ...]


@dataclass(frozen=True, slots=True)
class OtherReport:
    """A preview of a field, or what another bundle said of it."""

    mode: str
    bundle: str
    engine: str
    result: str
    urgency: str
    text: str
    probabilities: Mapping[str, float | None]
    recorded_at: str


@dataclass(frozen=True, slots=True)
class FieldDetail:
    """A field of a case and everything that is known of it."""

    image_id: str
    sha256: str
    has_image: bool
    site: str
    device: str
    case_key: str
    case_id: str
    outcome: str
    urgency: str
    rank: int
    result: str
    reason: str
    text: str
    probabilities: Mapping[str, float | None]
    p_acute: float | None
    model: str
    training_data: str
    white_cells: int | None
    #: Most suspicious first; None where cells were not counted.
    white_cell_boxes: tuple[Box, ...] | None
    um_per_px: float | None
    width_px: int | None
    height_px: int | None
    ood_percentile: float | None
    gate_override: bool
    override_reason: str
    captured_at: str
    recorded_at: str
    latency_ms: float | None
    previews: tuple[OtherReport, ...] = ()
    alternatives: tuple[OtherReport, ...] = ()
    ai_hidden: bool = False
    #: Only a small preview has come: there is no picture to look at yet.
    is_preview: bool = False


@dataclass(frozen=True, slots=True)
class CaseDetail:
    """A case from top to bottom. Fields: the most urgent first; by capture where the AI is hidden."""

    summary: CaseSummary
    probabilities: Mapping[str, float] | None
    #: The posterior so far, also where the case cannot be said yet.
    running: Mapping[str, float] | None
    #: Fields that the sum rests on.
    summed: int
    #: How they were put together, in words.
    combined: str
    bundle: str
    training_data: str
    fields: tuple[FieldDetail, ...]
    review: Review
    change_id: int
    #: When the first person opened it.
    opened_at: str


@dataclass(frozen=True, slots=True)
class RetakeLine:
    """A field that is to be taken again, and why; nothing that the AI says of cells."""

    image_id: str
    site: str
    device: str
    case_id: str
    reason: str
    text: str
    captured_at: str
    recorded_at: str
    #: Of a refusal by a worker; what the device's own gate rejected never left it.
    has_image: bool


@dataclass(frozen=True, slots=True)
class NewestField:
    """The newest field of a case that has a full result, for the trace."""

    case_key: str
    image_id: str
    attempt: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What came after an id. `complete` is False where so much came that a reload is better."""

    changes: tuple[Change, ...]
    last_id: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Done:
    """What a deed came to: the review after it, and the change that tells of it."""

    review: Review
    change_id: int
