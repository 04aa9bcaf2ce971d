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

Read before AI: for an actor with `reads_before_ai` everything that the AI said is left out until that
actor has answered or asked for it (`reveal`); whether it had been seen is the desk's knowledge, not
the caller's word. (Over 250 lines: one page shows everything that a person can do.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select, update
from sqlalchemy.exc import DBAPIError, OperationalError

from dashboard.accounts.roles import Actor, May
from dashboard.audit.book import AuditBook
from dashboard.blobs import BlobArchive
from dashboard.cases.case_rows import find_cases, lock_cases
from dashboard.cases.feed import first_change, last_change, read_changes
from dashboard.cases.field_rows import read_fields
from dashboard.cases.keys import CaseKey, case_key, parse_case_key
from dashboard.cases.settings import CaseSettings
from dashboard.cases.tables import CaseRow
from dashboard.engine import open_engine
from dashboard.exchange.facts import ReportFacts
from dashboard.exchange.read_facts import read_facts
from dashboard.review import machine, reading
from dashboard.review.events import AiSaid, AnyEvent, Placed
from dashboard.review.figures import Figures, read_figures
from dashboard.review.machine import Opinion, Review
from dashboard.review.settings import ReviewSettings
from dashboard.review.store import extend, load_review, settle_all, settled, time_of
from dashboard.review.tables import ReadingRow
from dashboard.review.views import (
    CaseDetail,
    Changes,
    Done,
    FieldDetail,
    NewestField,
    RetakeLine,
    WorklistPage,
)
from dashboard.schema import DiagnosisRow, ImageRow, StoreRow
from dashboard.store import RecordsStore, StoreAway
from service_runtime.boot import new_id, wall_time
from wire_protocol.json_messages import Urgency

#: Changes in one answer; a reader that is further behind reloads its list.
MOST_CHANGES = 1000
MOST_CASES = 500


class NoSuchCaseError(Exception):
    """No case or field of this name that this person may see."""


class Desk:
    """One database, its archive and the audit book."""

    def __init__(
        self,
        engine: Engine,
        reader: Engine,
        archive: BlobArchive | None,
        book: AuditBook,
        *,
        review: ReviewSettings,
        cases: CaseSettings,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._reader = reader
        self._archive = archive
        self._book = book
        self._review = review
        self._cases = cases
        self._now_ms = now_ms

    @classmethod
    def open(
        cls,
        database_url: str,
        archive_url: str | None,
        *,
        audit_key: bytes,
        review: ReviewSettings | None = None,
        cases: CaseSettings | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> Desk:
        """Opens both, making or migrating the tables; raises StoreError, ArchiveAway."""
        cases = cases or CaseSettings()
        RecordsStore(database_url, wall_time(), cases).close()
        return cls(
            open_engine(database_url),
            open_engine(database_url, read_only=True),
            BlobArchive(archive_url) if archive_url is not None else None,
            AuditBook(audit_key),
            review=review or ReviewSettings(),
            cases=cases,
            now_ms=now_ms,
        )

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()
        self._reader.dispose()
        if self._archive is not None:
            self._archive.close()

    @property
    def book(self) -> AuditBook:
        """The audit book, for what else leaves this house."""
        return self._book

    @property
    def undo_s(self) -> float:
        """How long an answer can be taken back."""
        return self._review.undo_s

    # --- reading --------------------------------------------------------------------------------

    def store_id(self) -> str:
        """Which store this is: after a restore the ids of changes mean something else."""
        with self._reader.begin() as connection:
            return str(connection.execute(select(StoreRow.store_id)).scalar_one())

    def worklist(
        self,
        actor: Actor,
        *,
        sites: Sequence[str] | None = None,
        offset: int = 0,
        limit: int = 100,
        signed: bool = False,
    ) -> WorklistPage:
        """Open cases (with `signed`, all), most urgent first and oldest first within.

        A lab operator gets those of which fields are to be taken again, without results.
        """
        if not actor.may(May.SEE_CASES):
            actor.require(May.SEE_RETAKES)
        only_retakes = not actor.may(May.SEE_CASES)
        hides = actor.reads_before_ai or only_retakes
        wanted = _visible(actor, sites)
        query = reading.worklist_query(wanted, signed=signed, blind=hides)
        if only_retakes:
            query = query.where(CaseRow.retakes > 0)
        with self._reader.begin() as connection:
            change_id = last_change(connection)
            total, unread = reading.count(connection, query)
            page = query.offset(max(0, offset)).limit(max(1, min(limit, MOST_CASES)))
            rows = connection.execute(page).all()
            known = self._known_to(connection, rows, actor) if hides else set[int]()
        cases = tuple(
            reading.summary(row, hides=only_retakes or (hides and row.id not in known))
            for row in rows
        )
        return WorklistPage(change_id, total, unread, cases)

    def summaries(self, keys: Sequence[str], actor: Actor) -> WorklistPage:
        """The lines of these cases that are there and may be seen, in no order."""
        actor.require(May.SEE_CASES)
        parsed = [key for key in map(parse_case_key, keys[:MOST_CASES]) if key is not None]
        seen = [key for key in parsed if actor.may_see_site(key.site)]
        with self._reader.begin() as connection:
            change_id = last_change(connection)
            rows = list(find_cases(connection, seen).values())
            hides = actor.reads_before_ai
            known = self._known_to(connection, rows, actor) if hides else set[int]()
        cases = tuple(reading.summary(row, hides=hides and row.id not in known) for row in rows)
        return WorklistPage(change_id, len(cases), sum(c.is_unread for c in cases), cases)

    def case(self, key: str, actor: Actor, *, reveal: bool = False) -> CaseDetail:
        """A case with its fields and its review; a view, written into the audit book.

        `reveal` shows a reader who answers first what the AI says: from then on it counts as seen.
        Raises NoSuchCaseError.
        """
        actor.require(May.SEE_CASES)
        wanted = _parse(key, actor)
        now_ms = self._now_ms()
        with self._begin() as connection:
            row, review = self._locked(connection, wanted, now_ms)
            hides = self._view(connection, row, review, actor, reveal=reveal, now_ms=now_ms)
            fields = read_fields(connection, [wanted])[wanted]
            others = reading.other_reports(connection, [f.result.image_id for f in fields])
            change_id = last_change(connection)
        details = [
            reading.field_detail(field, wanted, others.get(field.result.image_id, ()), hides=hides)
            for field in fields
        ]
        details.sort(
            key=lambda f: (
                (0, 0.0, f.captured_at) if hides else (f.rank, -(f.p_acute or 0.0), f.captured_at)
            )
        )
        return CaseDetail(
            summary=reading.summary(row, hides=hides),
            probabilities=None if hides else row.probabilities,
            running=None if hides else row.running,
            summed=row.summed,
            combined="" if hides else reading.combined_words(row, self._cases),
            bundle=row.bundle,
            training_data=row.training_data,
            fields=tuple(details),
            review=review,
            change_id=change_id,
            opened_at=row.opened_at or time_of(now_ms),
        )

    def field(self, image_id: str, actor: Actor) -> FieldDetail:
        """One field; a view of its case. Raises NoSuchCaseError."""
        actor.require(May.SEE_CASES)
        now_ms = self._now_ms()
        with self._begin() as connection:
            wanted = _case_of(connection, image_id, actor)
            row, review = self._locked(connection, wanted, now_ms)
            hides = self._view(connection, row, review, actor, reveal=False, now_ms=now_ms)
            found = read_fields(connection, [wanted])[wanted]
            field = next(f for f in found if f.result.image_id == image_id)
            others = reading.other_reports(connection, [image_id])
        return reading.field_detail(field, wanted, others.get(image_id, ()), hides=hides)

    def retakes(self, actor: Actor, *, limit: int = 100) -> list[RetakeLine]:
        """Fields that are to be taken again and why, the newest first: the lab's own queue."""
        actor.require(May.SEE_RETAKES)
        with self._reader.begin() as connection:
            return reading.retake_lines(
                connection, _visible(actor, None), max(1, min(limit, MOST_CASES))
            )

    def image(self, image_id: str, actor: Actor) -> tuple[str, bytes]:
        """sha256 and bytes of a field's picture, as the camera's encoder made them; of a lab
        operator's only those that are to be taken again.

        Raises NoSuchCaseError, ArchiveAway.
        """
        actor.require(May.SEE_IMAGES)
        with self._reader.begin() as connection:
            row = connection.execute(
                select(ImageRow.site, ImageRow.sha256, ImageRow.has_blob, DiagnosisRow.urgency)
                .join(DiagnosisRow, DiagnosisRow.id == ImageRow.shown_id)
                .where(ImageRow.image_id == image_id)
            ).first()
        is_theirs = row is not None and (
            actor.may(May.SEE_CASES) or row.urgency == Urgency.RETAKE.value
        )
        if row is None or not is_theirs or not row.has_blob or not actor.may_see_site(row.site):
            raise NoSuchCaseError(f"no picture of an image {image_id[:32]!r}")
        if self._archive is None:
            raise NoSuchCaseError("this desk was opened without an archive")
        return row.sha256, self._archive.read(row.sha256)

    def report(self, key: str, actor: Actor, form: str) -> ReportFacts:
        """What a report of a signed case is made of; an export, written into the audit book first.

        Raises NoSuchCaseError, ReviewRefusedError where nobody has signed, ArchiveAway.
        """
        actor.require(May.EXPORT)
        wanted = _parse(key, actor)
        now_ms = self._now_ms()
        if self._archive is None:
            raise NoSuchCaseError("this desk was opened without an archive")
        with self._begin() as connection:
            row, review = self._locked(connection, wanted, now_ms)
            if review.signature is None:
                raise machine.ReviewRefusedError(
                    "not_signed", "nobody has signed this case: there is no report yet"
                )
            if actor.reads_before_ai and not reading.has_seen_ai(connection, row.id, actor.account):
                raise machine.ReviewRefusedError(
                    "ai_not_seen", "a report says what the AI says: answer first"
                )
            detail = {"format": form, "status": review.status.value}
            self._book.write(
                connection, actor, "export", wanted.text, time_of(now_ms), detail=detail
            )
        with self._reader.begin() as connection:
            return read_facts(connection, wanted, self._archive, time_of(now_ms))

    # --- the feed -------------------------------------------------------------------------------

    def last_change(self) -> int:
        """Id of the newest change; cheap, to be asked often."""
        with self._reader.begin() as connection:
            return last_change(connection)

    def newest_fields(self, keys: Sequence[str]) -> list[NewestField]:
        """The newest field with a full result of each of these cases, for the trace: it shows nothing."""
        parsed = [key for key in map(parse_case_key, keys[:MOST_CASES]) if key is not None]
        with self._reader.begin() as connection:
            return reading.newest_fields(connection, parsed)

    def changes(self, after: int, actor: Actor, *, limit: int = MOST_CHANGES) -> Changes:
        """What came after that id, oldest first; changes of other sites are left out, their ids
        count as seen."""
        actor.require(May.SEE_CASES)
        limit = max(1, min(limit, MOST_CHANGES))
        with self._reader.begin() as connection:
            found = read_changes(connection, max(0, after), limit)
            newest = last_change(connection)
            if newest > after and after + 1 < first_change(connection):
                return Changes((), newest, complete=False)  # part of it is forgotten: reload
        last_id = found[-1].id if found else min(after, newest)
        seen = tuple(change for change in found if actor.may_see_site(change.site))
        return Changes(seen, last_id, complete=last_id == newest)

    # --- figures --------------------------------------------------------------------------------

    def figures(self, actor: Actor, *, days: int = 60) -> Figures:
        """How the AI is doing; a view, written into the audit book."""
        actor.require(May.SEE_FIGURES)
        with self._reader.begin() as connection:
            found = read_figures(connection, site=actor.site, days=days)
        with self._begin() as connection:
            self._book.write(connection, actor, "view_figures", "", time_of(self._now_ms()))
        return found

    # --- deeds ----------------------------------------------------------------------------------

    def sign(self, key: str, opinion: Opinion, *, by: Actor, expected_version: int) -> Done:
        """Confirms (an opinion without finding) or corrects; raises ReviewRefusedError."""
        return self._answer(
            machine.sign, "sign", key, opinion, by=by, expected_version=expected_version
        )

    def amend(self, key: str, opinion: Opinion, *, by: Actor, expected_version: int) -> Done:
        """Another answer to a signed case; raises ReviewRefusedError."""
        return self._answer(
            machine.amend, "amend", key, opinion, by=by, expected_version=expected_version
        )

    def enter_in_error(self, key: str, comment: str, *, by: Actor, expected_version: int) -> Done:
        """Withdraws the signed report, with a reason; raises ReviewRefusedError."""
        return self._answer(
            machine.enter_in_error,
            "enter_in_error",
            key,
            comment,
            by=by,
            expected_version=expected_version,
        )

    def undo(self, key: str, *, by: Actor, expected_version: int) -> Done:
        """Takes one's own answer back before it is signed; raises ReviewRefusedError."""

        def wish(_c: Connection, _row: Row[Any], review: Review, now_ms: int) -> AnyEvent:
            return machine.undo(
                review, by=by.account, expected_version=expected_version, now_ms=now_ms
            )

        return self._deed(key, by, May.REVIEW, "undo", wish)

    def refer(self, key: str, *, to: str, comment: str, by: Actor, expected_version: int) -> Done:
        """Asks another reader, or anybody (`to` ""); raises ReviewRefusedError."""

        def wish(_c: Connection, _row: Row[Any], review: Review, now_ms: int) -> AnyEvent:
            return machine.refer(
                review,
                to=to,
                comment=comment,
                by=by.account,
                expected_version=expected_version,
                now_ms=now_ms,
                settings=self._review,
            )

        return self._deed(key, by, May.REVIEW, "refer", wish)

    def ask_retake(
        self, key: str, *, comment: str, by: Actor, expected_version: int, command_id: str = ""
    ) -> Done:
        """Writes down that the microscope is asked for another picture (`review.retake` says which
        device and command id); whoever sends the command tells `answer_retake` what came back."""
        command = command_id or new_id()

        def wish(_c: Connection, row: Row[Any], review: Review, now_ms: int) -> AnyEvent:
            return machine.ask_retake(
                review,
                command_id=command,
                device=row.device,
                comment=comment,
                by=by.account,
                expected_version=expected_version,
                now_ms=now_ms,
                settings=self._review,
            )

        return self._deed(key, by, May.ASK_RETAKE, "ask_retake", wish)

    def answer_retake(self, key: str, command_id: str, *, ok: bool, text: str) -> Done | None:
        """Keeps the microscope's answer; None where nothing waits for it."""
        wanted = parse_case_key(key)
        if wanted is None:
            raise NoSuchCaseError(f"no case {key[:80]!r}")
        now_ms = self._now_ms()
        with self._begin() as connection:
            row, review = self._locked(connection, wanted, now_ms)
            event = machine.answer_retake(
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
        rule: Callable[..., Placed],
        action: str,
        key: str,
        said: Opinion | str,
        *,
        by: Actor,
        expected_version: int,
    ) -> Done:
        def wish(connection: Connection, row: Row[Any], review: Review, now_ms: int) -> AnyEvent:
            if row.fields + row.retakes == 0:
                raise machine.ReviewRefusedError(
                    "only_previews",
                    "only a small preview has come: answer when the picture is here",
                )
            seen = reading.has_seen_ai(connection, row.id, by.account)
            placed = rule(
                review,
                said,
                by=by.account,
                expected_version=expected_version,
                ai=_ai_said(connection, row),
                ai_seen=seen,
                now_ms=now_ms,
                settings=self._review,
            )
            _note_reading(connection, row, by.account, now_ms, sees_ai=True)  # it is shown from now
            return placed

        return self._deed(key, by, May.REVIEW, action, wish)

    def _deed(
        self,
        key: str,
        actor: Actor,
        needed: May,
        action: str,
        wish: Callable[[Connection, Row[Any], Review, int], AnyEvent],
    ) -> Done:
        """One deed in one transaction with its change and its line in the audit book. A refusal is
        written into the book, too, and then raised."""
        actor.require(needed)
        wanted = _parse(key, actor)
        now_ms = self._now_ms()
        with self._begin() as connection:
            row, review = self._locked(connection, wanted, now_ms)
            try:
                event = wish(connection, row, review, now_ms)
            except machine.ReviewRefusedError as error:
                detail = {"refused": error.code}
                self._book.write(
                    connection, actor, action, wanted.text, time_of(now_ms), detail=detail
                )
                refusal: machine.ReviewRefusedError | None = error
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

    def _locked(self, connection: Connection, key: CaseKey, now_ms: int) -> tuple[Row[Any], Review]:
        """The case's row, locked, and its review with what time has signed."""
        row = lock_cases(connection, [key]).get(key)
        if row is None:
            raise NoSuchCaseError(f"no case {key.text}")
        review = load_review(connection, row.id)
        after = settled(connection, row, review, now_ms)
        if after is not review:
            row = lock_cases(connection, [key])[key]
        return row, after

    def _view(
        self,
        connection: Connection,
        row: Row[Any],
        review: Review,
        actor: Actor,
        *,
        reveal: bool,
        now_ms: int,
    ) -> bool:
        """Writes down that somebody looks; returns whether the AI's answer is kept back."""
        hides = (
            actor.reads_before_ai
            and not reveal
            and not reading.has_seen_ai(connection, row.id, actor.account)
        )
        _note_reading(connection, row, actor.account, now_ms, sees_ai=not hides)
        key = CaseKey(row.site, row.case_id, row.image_id)
        detail = {"ai_shown": not hides, "version": review.version}
        self._book.write(connection, actor, "view", key.text, time_of(now_ms), detail=detail)
        return hides

    def _known_to(self, connection: Connection, rows: Sequence[Row[Any]], actor: Actor) -> set[int]:
        """Those of these cases of which this reader knows what the AI says."""
        if not actor.may(May.SEE_CASES):
            return set()
        found = connection.execute(
            select(ReadingRow.smear_case_id).where(
                ReadingRow.account == actor.account,
                ReadingRow.ai_seen_at != "",
                ReadingRow.smear_case_id.in_([row.id for row in rows]),
            )
        )
        return {row.smear_case_id for row in found}

    def _begin(self) -> _Transaction:
        return _Transaction(self._engine)


class _Transaction:
    """A transaction whose failure says StoreAway where the database is locked or gone."""

    def __init__(self, engine: Engine) -> None:
        self._context = engine.begin()

    def __enter__(self) -> Connection:
        try:
            return self._context.__enter__()
        except DBAPIError as error:
            raise StoreAway(str(error.orig)) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._context.__exit__(kind, error, traceback)
        except DBAPIError as failed:
            raise StoreAway(str(failed.orig)) from failed
        if isinstance(error, OperationalError):
            raise StoreAway(str(error.orig)) from error


def _visible(actor: Actor, sites: Sequence[str] | None) -> Sequence[str] | None:
    if sites is None:
        return None if actor.site is None else [actor.site]
    return [site for site in sites if actor.may_see_site(site)]


def _parse(key: str, actor: Actor) -> CaseKey:
    parsed = parse_case_key(key)
    if parsed is None or not actor.may_see_site(parsed.site):
        raise NoSuchCaseError(f"no case {key[:80]!r}")
    return parsed


def _case_of(connection: Connection, image_id: str, actor: Actor) -> CaseKey:
    row = connection.execute(
        select(ImageRow.site, ImageRow.case_id).where(ImageRow.image_id == image_id)
    ).first()
    if row is None or not actor.may_see_site(row.site):
        raise NoSuchCaseError(f"no field of an image {image_id[:32]!r}")
    return case_key(row.site, row.case_id, image_id)


def _ai_said(connection: Connection, row: Row[Any]) -> AiSaid:
    key = CaseKey(row.site, row.case_id, row.image_id)
    fields = read_fields(connection, [key])[key]
    return AiSaid(
        result=row.result,
        urgency=row.urgency,
        bundle=row.bundle,
        image_ids=tuple(f.result.image_id for f in fields if not f.is_preview),
    )


def _note_reading(
    connection: Connection, row: Row[Any], account: str, now_ms: int, *, sees_ai: bool
) -> None:
    at = time_of(now_ms)
    mine = (ReadingRow.smear_case_id == row.id) & (ReadingRow.account == account)
    known = connection.execute(select(ReadingRow.ai_seen_at).where(mine)).first()
    if known is None:
        connection.execute(
            insert(ReadingRow).values(
                smear_case_id=row.id,
                account=account,
                opened_at=at,
                ai_seen_at=at if sees_ai else "",
            )
        )
    elif sees_ai and not known.ai_seen_at:
        connection.execute(update(ReadingRow).where(mine).values(ai_seen_at=at))
    if not row.opened_at:
        connection.execute(update(CaseRow).where(CaseRow.id == row.id).values(opened_at=at))


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
