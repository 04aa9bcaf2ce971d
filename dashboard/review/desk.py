"""Everything that a reader can see and do, over the records store's database; without a right it refuses.

    desk = Desk.open(database_url, archive_url, audit_key=key)
    page = desk.worklist(actor)                    # open cases, most urgent first
    case = desk.case("lab.C7F3K2", actor)          # a view: it is written into the audit book
    done = desk.sign(case.summary.key, Opinion(), by=actor, expected_version=case.summary.version)
    desk.changes(after=page.change_id)             # what came since; ids have no gaps

Calls block (a transaction each) and may come from any thread. An answer is placed at once and signed
when the time for its undo has passed: by the next call that meets the case, or by `settle`, which the
program around the desk calls once a second. Every deed says which `version` it was made on; whoever
comes second gets ReviewConflictError with who was faster, what and when.

What is read is in looking.py and opened.py, the deeds are here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, select

from dashboard.accounts.roles import Actor, May
from dashboard.cases.field_rows import read_fields
from dashboard.cases.keys import CaseKey, parse_case_key
from dashboard.cases.tables import CaseRow
from dashboard.review import wishes
from dashboard.review.events import AiSaid, AnyEvent, Placed
from dashboard.review.looking import Looking, NoSuchCaseError, parse_key
from dashboard.review.machine import Opinion, Review, ReviewRefusedError
from dashboard.review.readers import has_seen_ai, note_reading
from dashboard.review.store import extend, settle_all, time_of
from dashboard.review.views import Done
from dashboard.review.wishes import Known, Wish
from service_runtime.boot import new_id

SaidT = TypeVar("SaidT", Opinion, str)


class Desk(Looking):
    """What people do to cases."""

    def sign(self, key: str, opinion: Opinion, *, by: Actor, expected_version: int) -> Done:
        """Confirms (an opinion without finding) or corrects; raises ReviewRefusedError."""
        return self._answer(
            wishes.sign, "sign", key, opinion, by=by, expected_version=expected_version
        )

    def amend(self, key: str, opinion: Opinion, *, by: Actor, expected_version: int) -> Done:
        """Another answer to a signed case; raises ReviewRefusedError."""
        return self._answer(
            wishes.amend, "amend", key, opinion, by=by, expected_version=expected_version
        )

    def enter_in_error(self, key: str, comment: str, *, by: Actor, expected_version: int) -> Done:
        """Withdraws the signed report, with a reason; raises ReviewRefusedError."""
        return self._answer(
            wishes.enter_in_error,
            "enter_in_error",
            key,
            comment,
            by=by,
            expected_version=expected_version,
        )

    def undo(self, key: str, *, by: Actor, expected_version: int) -> Done:
        """Takes one's own answer back before it is signed; raises ReviewRefusedError."""

        def wished(_: Connection, _row: Row[Any], review: Review, wish: Wish) -> AnyEvent:
            return wishes.undo(review, wish)

        return self._deed(key, by, expected_version, "undo", wished)

    def refer(self, key: str, *, to: str, comment: str, by: Actor, expected_version: int) -> Done:
        """Asks another reader, or anybody (`to` ""); raises ReviewRefusedError."""

        def wished(_: Connection, _row: Row[Any], review: Review, wish: Wish) -> AnyEvent:
            return wishes.refer(review, wish, to=to, comment=comment)

        return self._deed(key, by, expected_version, "refer", wished)

    def ask_retake(
        self, key: str, *, comment: str, by: Actor, expected_version: int, command_id: str = ""
    ) -> Done:
        """Writes down that the microscope is asked for another picture (`review.retake` says which
        device and command id); whoever sends the command tells `answer_retake` what came back."""
        command = command_id or new_id()

        def wished(_: Connection, row: Row[Any], review: Review, wish: Wish) -> AnyEvent:
            return wishes.ask_retake(
                review, wish, command_id=command, device=row.device, comment=comment
            )

        return self._deed(key, by, expected_version, "ask_retake", wished, needed=May.ASK_RETAKE)

    def answer_retake(self, key: str, command_id: str, *, ok: bool, text: str) -> Done | None:
        """Keeps the microscope's answer; None where nothing waits for it."""
        wanted = parse_case_key(key)
        if wanted is None:
            raise NoSuchCaseError(f"no case {key[:80]!r}")
        now_ms = self._now_ms()
        with self._begin() as connection:
            row, review = self._locked(connection, wanted, now_ms)
            event = wishes.answer_retake(
                review, command_id=command_id, ok=ok, text=text, now_ms=now_ms
            )
            if event is None:
                return None
            after, change_id = extend(connection, row, review, event)
        return Done(after, change_id)

    def settle(self) -> int:
        """Signs every answer whose time for an undo has passed; returns how many."""
        now_ms = self._now_ms()
        with self._reader.begin() as connection:  # most often there is none: take no lock
            due = select(CaseRow.id).where(CaseRow.held_due_ms <= now_ms).limit(1)
            if connection.execute(due).first() is None:
                return 0
        with self._begin() as connection:
            return settle_all(connection, now_ms)

    # --- parts ----------------------------------------------------------------------------------

    def _answer(
        self,
        rule: Callable[[Review, SaidT, Wish, Known], Placed],
        action: str,
        key: str,
        said: SaidT,
        *,
        by: Actor,
        expected_version: int,
    ) -> Done:
        def wished(connection: Connection, row: Row[Any], review: Review, wish: Wish) -> AnyEvent:
            if row.fields + row.retakes == 0:
                raise ReviewRefusedError(
                    "only_previews",
                    "only a small preview has come: answer when the picture is here",
                )
            seen = has_seen_ai(connection, row.id, by.account)
            placed = rule(review, said, wish, Known(_ai_said(connection, row), seen))
            # It is shown from now.
            note_reading(connection, row, by.account, wish.now_ms, sees_ai=True)
            return placed

        return self._deed(key, by, expected_version, action, wished)

    def _deed(
        self,
        key: str,
        actor: Actor,
        expected_version: int,
        action: str,
        wished: Callable[[Connection, Row[Any], Review, Wish], AnyEvent],
        *,
        needed: May = May.REVIEW,
    ) -> Done:
        """One deed in one transaction with its change and its line in the audit book. A refusal is
        written into the book, too, and then raised."""
        actor.require(needed)
        wanted = parse_key(key, actor)
        now_ms = self._now_ms()
        wish = Wish(actor.account, expected_version, now_ms, self._review)
        with self._begin() as connection:
            row, review = self._locked(connection, wanted, now_ms)
            try:
                event = wished(connection, row, review, wish)
            except ReviewRefusedError as error:
                detail = {"refused": error.code}
                self._book.write(
                    connection, actor, action, wanted.text, time_of(now_ms), detail=detail
                )
                refusal: ReviewRefusedError | None = error
            else:
                after, change_id = extend(connection, row, review, event)
                self._book.write(
                    connection,
                    actor,
                    action,
                    wanted.text,
                    time_of(now_ms),
                    detail=_audited(event, after.number),
                )
                refusal = None
        if refusal is not None:
            raise refusal
        return Done(after, change_id)


def _ai_said(connection: Connection, row: Row[Any]) -> AiSaid:
    key = CaseKey(row.site, row.case_id, row.image_id)
    fields = read_fields(connection, [key])[key]
    return AiSaid(
        result=row.result,
        urgency=row.urgency,
        bundle=row.bundle,
        image_ids=tuple(f.result.image_id for f in fields if not f.is_preview),
    )


def _audited(event: AnyEvent, number: int) -> dict[str, str | int | bool | None]:
    """What the audit book says of an event: never the comment, which may name somebody."""
    detail: dict[str, str | int | bool | None] = {"number": number}
    if isinstance(event, Placed):
        detail |= {
            "finding": event.finding.value if event.finding else None,
            "confirms": event.confirms,
            "ai_seen": event.ai_seen,
        }
    return detail
