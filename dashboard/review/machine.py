"""The rules of a review. Pure: events in, review out; wishes in, events or a refusal out; it reads no clock.

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

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace

from dashboard.review.events import (
    AiSaid,
    AnyEvent,
    Placed,
    Referred,
    RetakeAnswered,
    RetakeAsked,
    Signed,
    Undone,
)
from dashboard.review.findings import FAB_OF, FINDING_WORDS, Fab, finding_of
from dashboard.review.settings import ReviewSettings
from wire_protocol.case_messages import Finding
from wire_protocol.json_messages import DiagnosisStatus

#: A comment with these could be shown as another one than was written.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
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


# --- wishes ---------------------------------------------------------------------------------------


def sign(
    review: Review,
    opinion: Opinion,
    *,
    by: str,
    expected_version: int,
    ai: AiSaid,
    ai_seen: bool,
    now_ms: int,
    settings: ReviewSettings,
) -> Placed:
    """The first answer to a draft; raises ReviewRefusedError."""
    _require_version(review, expected_version)
    _require_nothing_held(review)
    if review.signature is not None:
        raise ReviewRefusedError(
            "already_signed",
            f"{review.signature.placed.by} has signed this case: amend it instead",
        )
    return _placed(opinion, "sign", by=by, ai=ai, ai_seen=ai_seen, now_ms=now_ms, settings=settings)


def amend(
    review: Review,
    opinion: Opinion,
    *,
    by: str,
    expected_version: int,
    ai: AiSaid,
    ai_seen: bool,
    now_ms: int,
    settings: ReviewSettings,
) -> Placed:
    """Another answer to a signed case; what was signed before stays; raises ReviewRefusedError."""
    _require_version(review, expected_version)
    _require_nothing_held(review)
    if review.signature is None:
        raise ReviewRefusedError("not_signed", "nothing is signed yet: sign this case instead")
    return _placed(
        opinion, "amend", by=by, ai=ai, ai_seen=ai_seen, now_ms=now_ms, settings=settings
    )


def enter_in_error(
    review: Review,
    comment: str,
    *,
    by: str,
    expected_version: int,
    ai: AiSaid,
    ai_seen: bool,
    now_ms: int,
    settings: ReviewSettings,
) -> Placed:
    """The signed report should not be: it is withdrawn, and stays to be read; a reason is needed."""
    _require_version(review, expected_version)
    _require_nothing_held(review)
    if review.signature is None or review.status is DiagnosisStatus.ENTERED_IN_ERROR:
        raise ReviewRefusedError("not_signed", "no signed report stands that could be withdrawn")
    text = checked_comment(comment, settings)
    if not text:
        raise ReviewRefusedError("comment_needed", "say in the comment why it was an error")
    return Placed(
        at_ms=now_ms,
        by=by,
        purpose="enter_in_error",
        confirms=False,
        finding=None,
        fab=None,
        comment=text,
        due_ms=now_ms + _ms(settings.undo_s),
        ai=ai,
        ai_seen=ai_seen,
    )


def undo(review: Review, *, by: str, expected_version: int, now_ms: int) -> Undone:
    """Takes one's own answer back before it is signed; raises ReviewRefusedError."""
    _require_version(review, expected_version)
    if review.held is None or now_ms >= review.held.due_ms:
        raise ReviewRefusedError(
            "too_late", "it is signed, or there is nothing to take back: amend it instead"
        )
    if review.held.by != by:
        raise ReviewRefusedError("not_yours", f"only {review.held.by} can take this answer back")
    return Undone(at_ms=now_ms, by=by)


def settle(review: Review, now_ms: int) -> Signed | None:
    """The signature that time has made, or None; it is dated when the undo ended."""
    if review.held is None or now_ms < review.held.due_ms:
        return None
    return Signed(at_ms=review.held.due_ms)


def refer(
    review: Review,
    *,
    to: str,
    comment: str,
    by: str,
    expected_version: int,
    now_ms: int,
    settings: ReviewSettings,
) -> Referred:
    """Asks somebody else; raises ReviewRefusedError."""
    _require_version(review, expected_version)
    _require_nothing_held(review)
    if to == by:
        raise ReviewRefusedError("to_oneself", "refer the case to somebody else")
    return Referred(at_ms=now_ms, by=by, to=to, comment=checked_comment(comment, settings))


def ask_retake(
    review: Review,
    *,
    command_id: str,
    device: str,
    comment: str,
    by: str,
    expected_version: int,
    now_ms: int,
    settings: ReviewSettings,
) -> RetakeAsked:
    """Asks the microscope for another picture, one wish at a time; raises ReviewRefusedError."""
    _require_version(review, expected_version)
    if review.awaits_microscope:
        raise ReviewRefusedError("retake_waits", "a retake is asked for and not answered yet")
    return RetakeAsked(
        at_ms=now_ms,
        by=by,
        command_id=command_id,
        device=device,
        comment=checked_comment(comment, settings),
    )


def answer_retake(
    review: Review, *, command_id: str, ok: bool, text: str, now_ms: int
) -> RetakeAnswered | None:
    """The microscope's answer; None where that wish is not the one that waits."""
    if not review.awaits_microscope or review.retake is None:
        return None
    if review.retake.command_id != command_id:
        return None
    return RetakeAnswered(at_ms=now_ms, command_id=command_id, ok=ok, text=text[:400])


def checked_comment(comment: str, settings: ReviewSettings) -> str:
    """The comment without blanks around it; too long or unprintable ones are refused."""
    text = comment.strip()
    if len(text) > settings.comment_max:
        raise ReviewRefusedError(
            "comment_too_long",
            f"the comment has {len(text)} characters, at most {settings.comment_max} are kept",
        )
    if any(_is_unfit(c) for c in text):
        raise ReviewRefusedError("comment_unprintable", "the comment holds a control character")
    return text


# --- parts ----------------------------------------------------------------------------------------


def _placed(
    opinion: Opinion,
    purpose: str,
    *,
    by: str,
    ai: AiSaid,
    ai_seen: bool,
    now_ms: int,
    settings: ReviewSettings,
) -> Placed:
    finding = opinion.finding
    if finding is None:
        finding = finding_of(ai.result, ai.urgency)
        if finding is None:
            raise ReviewRefusedError(
                "nothing_to_confirm",
                "the AI cannot say: choose a finding, refer or ask for a retake",
            )
        if not ai_seen:
            raise ReviewRefusedError(
                "ai_not_seen", "what was not shown cannot be confirmed: choose a finding"
            )
    if opinion.fab is not None and opinion.fab not in FAB_OF.get(finding, frozenset()):
        allowed = ", ".join(sorted(FAB_OF.get(finding, frozenset()))) or "none"
        raise ReviewRefusedError(
            "fab", f"FAB {opinion.fab.value} is no subtype of {FINDING_WORDS[finding]}: {allowed}"
        )
    return Placed.model_validate(
        {
            "at_ms": now_ms,
            "by": by,
            "purpose": purpose,
            "confirms": opinion.finding is None,
            "finding": finding,
            "fab": opinion.fab,
            "comment": checked_comment(opinion.comment, settings),
            "due_ms": now_ms + _ms(settings.undo_s),
            "ai": ai,
            "ai_seen": ai_seen,
        }
    )


def _require_version(review: Review, expected: int) -> None:
    if expected == review.version:
        return
    last = review.events[review.version - 1] if review.version else None
    if last is None or expected > review.version:
        raise ReviewRefusedError(
            "unknown_version", f"version {expected} is not known here: load the case again"
        )
    raise ReviewConflictError(
        f"{last.by} was faster: {what_happened(last)}. Nothing of yours was stored.",
        version=review.version,
        by=last.by,
        what=what_happened(last),
        at_ms=last.at_ms,
    )


def _require_nothing_held(review: Review) -> None:
    if review.held is not None:
        raise ReviewRefusedError(
            "held",
            f"an answer of {review.held.by} is about to be signed: {what_happened(review.held)}",
        )


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


def _is_unfit(character: str) -> bool:
    """Control characters, lone surrogates, and marks that turn the reading direction around."""
    if character in "\n\t":
        return False
    return unicodedata.category(character) in ("Cc", "Cs") or character in _TURNING


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
