"""What a review is: the fold of its events. Pure; what may happen next is decided in wishes.py.

    draft --sign--> final --amend--> amended --amend--> amended
      ^               |                 |
      '-- undo        '-- enter in error --> entered_in_error --amend--> amended

- An answer is placed first and signed when the time for its undo has passed; until then the case is
  what it was. Only the one who placed it takes it back.
- Whoever acts says which version he saw. `version` is the number of the last event that a person
  caused: of two people who sign at once one wins, and the other is told who did what.
- Nothing is erased: a review is the fold of all its events, and `signatures` only ever grows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dashboard.review.events import (
    AnyEvent,
    Placed,
    Referred,
    RetakeAnswered,
    RetakeAsked,
    Signed,
    Undone,
)
from dashboard.review.findings import FINDING_WORDS, Fab
from wire_protocol.case_messages import Finding
from wire_protocol.json_messages import DiagnosisStatus

_STATUS = {
    "sign": DiagnosisStatus.FINAL,
    "amend": DiagnosisStatus.AMENDED,
    "enter_in_error": DiagnosisStatus.ENTERED_IN_ERROR,
}


class ReviewRefusedError(Exception):
    """The wish is not fulfilled; `code` for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ReviewConflictError(ReviewRefusedError):
    """Somebody was faster: `by` did `what` since the version that the wish was made on."""

    def __init__(self, message: str, *, version: int, by: str, what: str, at_ms: int) -> None:
        super().__init__("conflict", message)
        self.version = version
        self.by = by
        self.what = what
        self.at_ms = at_ms


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a person says of a case; `finding` None confirms what the AI said."""

    finding: Finding | None = None
    fab: Fab | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """An answer that stands, or stood until the next one."""

    placed: Placed
    status: DiagnosisStatus
    signed_at_ms: int
    #: Number of its event.
    number: int


@dataclass(frozen=True, slots=True)
class Review:
    """A case's review after some events."""

    #: Events so far.
    number: int = 0
    #: Number of the last one that a person caused.
    version: int = 0
    status: DiagnosisStatus = DiagnosisStatus.DRAFT
    #: An answer that is not signed yet.
    held: Placed | None = None
    signatures: tuple[Signature, ...] = ()
    referral: Referred | None = None
    retake: RetakeAsked | None = None
    retake_answer: RetakeAnswered | None = None
    events: tuple[AnyEvent, ...] = ()

    @property
    def signature(self) -> Signature | None:
        """The one that counts: the last."""
        return self.signatures[-1] if self.signatures else None

    @property
    def awaits_microscope(self) -> bool:
        """Whether a retake was asked for and not answered yet."""
        return self.retake is not None and self.retake_answer is None


def fold(events: Iterable[AnyEvent]) -> Review:
    """The review that these events make, in their order."""
    review = Review()
    for event in events:
        review = apply(review, event)
    return review


def apply(review: Review, event: AnyEvent) -> Review:
    """The review after one more event, which a rule below allowed."""
    number = review.number + 1
    told = replace(
        review,
        number=number,
        version=number if event.by else review.version,
        events=(*review.events, event),
    )
    match event:
        case Placed():
            return replace(told, held=event)
        case Undone():
            return replace(told, held=None)
        case Signed() if review.held is not None:
            status = _STATUS[review.held.purpose]
            signature = Signature(review.held, status, event.at_ms, number)
            return replace(
                told,
                held=None,
                status=status,
                signatures=(*review.signatures, signature),
                referral=None,
            )
        case Referred():
            return replace(told, referral=event)
        case RetakeAsked():
            return replace(told, retake=event, retake_answer=None)
        case RetakeAnswered():
            return replace(told, retake_answer=event)
        case _:
            raise ValueError(f"event {number}, {event.kind}, does not follow")


def settle(review: Review, now_ms: int) -> Signed | None:
    """The signature that time has made, or None; it is dated when the undo ended."""
    if review.held is None or now_ms < review.held.due_ms:
        return None
    return Signed(at_ms=review.held.due_ms)


def what_happened(event: AnyEvent) -> str:
    """An event in words, without its comment."""
    match event:
        case Placed(purpose="enter_in_error"):
            return "entered in error"
        case Placed(purpose=purpose, finding=finding, confirms=confirms):
            verb = "amended to" if purpose == "amend" else "confirmed" if confirms else "answered"
            return f"{verb} {FINDING_WORDS[finding] if finding else ''}".strip()
        case Undone():
            return "took the answer back"
        case Signed():
            return "signed"
        case Referred(to=to):
            return f"referred to {to or 'anybody'}"
        case RetakeAsked():
            return "asked for a retake"
        case RetakeAnswered(ok=ok):
            return "the microscope took it again" if ok else "the microscope did not take it again"
