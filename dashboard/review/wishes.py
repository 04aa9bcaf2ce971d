"""What people may do to a review: a wish in, an event or a refusal out. Pure: it reads no clock and stores nothing.

Each wish says which version of the review it was made on: of two people who act at once one wins, and the
other is told who did what. A comment is kept whole or refused, never cut.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

from dashboard.review.events import (
    AiSaid,
    AnyEvent,
    Placed,
    Referred,
    RetakeAnswered,
    RetakeAsked,
    Undone,
)
from dashboard.review.findings import FAB_OF, FINDING_WORDS, finding_of
from dashboard.review.machine import (
    Opinion,
    Review,
    ReviewConflictError,
    ReviewRefusedError,
    what_happened,
)
from dashboard.review.settings import ReviewSettings
from wire_protocol.case_messages import Finding
from wire_protocol.json_messages import DiagnosisStatus

#: A comment with these could be shown as another one than was written.
_TURNING: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
Purpose = Literal["sign", "amend", "enter_in_error"]


@dataclass(frozen=True, slots=True)
class Wish:
    """Who wishes something, on which version of the review, when, and by which rules."""

    by: str
    expected_version: int
    now_ms: int
    rules: ReviewSettings


@dataclass(frozen=True, slots=True)
class Known:
    """What the AI says of the case, and whether this person had been shown it before."""

    ai: AiSaid
    ai_seen: bool


def sign(review: Review, opinion: Opinion, wish: Wish, known: Known) -> Placed:
    """The first answer to a draft; raises ReviewRefusedError."""
    _require_free(review, wish)
    if review.signature is not None:
        raise ReviewRefusedError(
            "already_signed",
            f"{review.signature.placed.by} has signed this case: amend it instead",
        )
    return _answer("sign", opinion, wish, known)


def amend(review: Review, opinion: Opinion, wish: Wish, known: Known) -> Placed:
    """Another answer to a signed case; what was signed before stays; raises ReviewRefusedError."""
    _require_free(review, wish)
    if review.signature is None:
        raise ReviewRefusedError("not_signed", "nothing is signed yet: sign this case instead")
    return _answer("amend", opinion, wish, known)


def enter_in_error(review: Review, comment: str, wish: Wish, known: Known) -> Placed:
    """The signed report should not be: it is withdrawn, and stays to be read; a reason is needed."""
    _require_free(review, wish)
    if review.signature is None or review.status is DiagnosisStatus.ENTERED_IN_ERROR:
        raise ReviewRefusedError("not_signed", "no signed report stands that could be withdrawn")
    if not comment.strip():
        raise ReviewRefusedError("comment_needed", "say in the comment why it was an error")
    return _placed("enter_in_error", Opinion(comment=comment), None, wish, known)


def undo(review: Review, wish: Wish) -> Undone:
    """Takes one's own answer back before it is signed; raises ReviewRefusedError."""
    _require_version(review, wish.expected_version)
    if review.held is None or wish.now_ms >= review.held.due_ms:
        raise ReviewRefusedError(
            "too_late", "it is signed, or there is nothing to take back: amend it instead"
        )
    if review.held.by != wish.by:
        raise ReviewRefusedError("not_yours", f"only {review.held.by} can take this answer back")
    return Undone(at_ms=wish.now_ms, by=wish.by)


def refer(review: Review, wish: Wish, *, to: str, comment: str) -> Referred:
    """Asks somebody else; raises ReviewRefusedError."""
    _require_free(review, wish)
    if to == wish.by:
        raise ReviewRefusedError("to_oneself", "refer the case to somebody else")
    text = checked_comment(comment, wish.rules)
    return Referred(at_ms=wish.now_ms, by=wish.by, to=to, comment=text)


def ask_retake(
    review: Review, wish: Wish, *, command_id: str, device: str, comment: str
) -> RetakeAsked:
    """Asks the microscope for another picture, one wish at a time; raises ReviewRefusedError."""
    _require_version(review, wish.expected_version)
    if review.awaits_microscope:
        raise ReviewRefusedError("retake_waits", "a retake is asked for and not answered yet")
    return RetakeAsked(
        at_ms=wish.now_ms,
        by=wish.by,
        command_id=command_id,
        device=device,
        comment=checked_comment(comment, wish.rules),
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


def checked_comment(comment: str, rules: ReviewSettings) -> str:
    """The comment without blanks around it; too long or unprintable ones are refused."""
    text = comment.strip()
    if len(text) > rules.comment_max:
        raise ReviewRefusedError(
            "comment_too_long",
            f"the comment has {len(text)} characters, at most {rules.comment_max} are kept",
        )
    if any(_is_unfit(c) for c in text):
        raise ReviewRefusedError("comment_unprintable", "the comment holds a control character")
    return text


# --- parts ----------------------------------------------------------------------------------------


def _answer(purpose: Purpose, opinion: Opinion, wish: Wish, known: Known) -> Placed:
    finding = opinion.finding
    if finding is None:
        finding = finding_of(known.ai.result, known.ai.urgency)
        if finding is None:
            raise ReviewRefusedError(
                "nothing_to_confirm",
                "the AI cannot say: choose a finding, refer or ask for a retake",
            )
        if not known.ai_seen:
            raise ReviewRefusedError(
                "ai_not_seen", "what was not shown cannot be confirmed: choose a finding"
            )
    if opinion.fab is not None and opinion.fab not in FAB_OF.get(finding, frozenset()):
        allowed = ", ".join(sorted(FAB_OF.get(finding, frozenset()))) or "none"
        raise ReviewRefusedError(
            "fab", f"FAB {opinion.fab.value} is no subtype of {FINDING_WORDS[finding]}: {allowed}"
        )
    return _placed(purpose, opinion, finding, wish, known)


def _placed(
    purpose: Purpose, opinion: Opinion, finding: Finding | None, wish: Wish, known: Known
) -> Placed:
    return Placed(
        at_ms=wish.now_ms,
        by=wish.by,
        purpose=purpose,
        confirms=opinion.finding is None and finding is not None,
        finding=finding,
        fab=opinion.fab,
        comment=checked_comment(opinion.comment, wish.rules),
        due_ms=wish.now_ms + round(wish.rules.undo_s * 1000),
        ai=known.ai,
        ai_seen=known.ai_seen,
    )


def _require_free(review: Review, wish: Wish) -> None:
    """The version that was seen is the newest, and no answer waits to be signed."""
    _require_version(review, wish.expected_version)
    if review.held is not None:
        raise ReviewRefusedError(
            "held",
            f"an answer of {review.held.by} is about to be signed: {what_happened(review.held)}",
        )


def _require_version(review: Review, expected: int) -> None:
    if expected == review.version:
        return
    last: AnyEvent | None = review.events[review.version - 1] if review.version else None
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


def _is_unfit(character: str) -> bool:
    """Control characters, lone surrogates, and marks that turn the reading direction around."""
    if character in "\n\t":
        return False
    return unicodedata.category(character) in ("Cc", "Cs") or character in _TURNING
