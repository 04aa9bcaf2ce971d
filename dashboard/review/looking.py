"""What a person may see of cases, fields and pictures; each look at a case is written into the audit book.

For an actor with `reads_before_ai` everything that the AI said is left out until that actor has answered or
asked for it (`reveal`); whether it had been seen is the store's knowledge, not the caller's word. (Over 250
lines: all that is shown stands together, so that nothing is shown another way.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from dashboard.accounts.roles import Actor, May
from dashboard.cases.case_rows import find_cases, lock_cases
from dashboard.cases.feed import last_change
from dashboard.cases.field_rows import read_fields
from dashboard.cases.keys import CaseKey, case_key, parse_case_key
from dashboard.cases.tables import CaseRow
from dashboard.exchange.facts import ReportFacts
from dashboard.exchange.read_facts import read_facts
from dashboard.review import queries, reading
from dashboard.review.machine import Review, ReviewRefusedError
from dashboard.review.opened import MOST_CASES, OpenedDesk
from dashboard.review.readers import has_seen_ai, note_reading, who_know
from dashboard.review.store import load_review, settled, time_of
from dashboard.review.views import CaseDetail, FieldDetail, RetakeLine, WorklistPage
from dashboard.schema import DiagnosisRow, ImageRow
from wire_protocol.json_messages import Urgency


class NoSuchCaseError(Exception):
    """No case or field of this name that this person may see."""


class Looking(OpenedDesk):
    """All that is read of cases."""

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
        query = queries.worklist_query(wanted, signed=signed, blind=hides)
        if only_retakes:
            query = query.where(CaseRow.retakes > 0)
        with self._reader.begin() as connection:
            change_id = last_change(connection)
            total, unread = queries.count(connection, query)
            page = query.offset(max(0, offset)).limit(max(1, min(limit, MOST_CASES)))
            rows = connection.execute(page).all()
            known = _known_to(connection, rows, actor) if hides else set[int]()
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
            known = _known_to(connection, rows, actor) if hides else set[int]()
        cases = tuple(reading.summary(row, hides=hides and row.id not in known) for row in rows)
        return WorklistPage(change_id, len(cases), sum(c.is_unread for c in cases), cases)

    def case(self, key: str, actor: Actor, *, reveal: bool = False) -> CaseDetail:
        """A case with its fields and its review; a view, written into the audit book.

        `reveal` shows a reader who answers first what the AI says: from then on it counts as seen.
        Raises NoSuchCaseError.
        """
        actor.require(May.SEE_CASES)
        wanted = parse_key(key, actor)
        now_ms = self._now_ms()
        with self._begin() as connection:
            row, review = self._locked(connection, wanted, now_ms)
            hides = self._view(connection, row, review, actor, reveal=reveal, now_ms=now_ms)
            fields = read_fields(connection, [wanted])[wanted]
            others = queries.other_reports(connection, [f.result.image_id for f in fields])
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
            others = queries.other_reports(connection, [image_id])
        return reading.field_detail(field, wanted, others.get(image_id, ()), hides=hides)

    def retakes(self, actor: Actor, *, limit: int = 100) -> list[RetakeLine]:
        """Fields that are to be taken again and why, the newest first: the lab's own queue."""
        actor.require(May.SEE_RETAKES)
        with self._reader.begin() as connection:
            return queries.retake_lines(
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
        wanted = parse_key(key, actor)
        now_ms = self._now_ms()
        if self._archive is None:
            raise NoSuchCaseError("this desk was opened without an archive")
        with self._begin() as connection:
            row, review = self._locked(connection, wanted, now_ms)
            if review.signature is None:
                raise ReviewRefusedError(
                    "not_signed", "nobody has signed this case: there is no report yet"
                )
            if actor.reads_before_ai and not has_seen_ai(connection, row.id, actor.account):
                raise ReviewRefusedError(
                    "ai_not_seen", "a report says what the AI says: answer first"
                )
            detail = {"format": form, "status": review.status.value}
            self._book.write(
                connection, actor, "export", wanted.text, time_of(now_ms), detail=detail
            )
        with self._reader.begin() as connection:
            return read_facts(connection, wanted, self._archive, time_of(now_ms))

    # --- parts ----------------------------------------------------------------------------------

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
            and not has_seen_ai(connection, row.id, actor.account)
        )
        note_reading(connection, row, actor.account, now_ms, sees_ai=not hides)
        key = CaseKey(row.site, row.case_id, row.image_id)
        detail = {"ai_shown": not hides, "version": review.version}
        self._book.write(connection, actor, "view", key.text, time_of(now_ms), detail=detail)
        return hides


def parse_key(key: str, actor: Actor) -> CaseKey:
    """The key of a case that this person may see; raises NoSuchCaseError."""
    parsed = parse_case_key(key)
    if parsed is None or not actor.may_see_site(parsed.site):
        raise NoSuchCaseError(f"no case {key[:80]!r}")
    return parsed


def _visible(actor: Actor, sites: Sequence[str] | None) -> Sequence[str] | None:
    if sites is None:
        return None if actor.site is None else [actor.site]
    return [site for site in sites if actor.may_see_site(site)]


def _known_to(connection: Connection, rows: Sequence[Row[Any]], actor: Actor) -> set[int]:
    """Those of these cases of which this reader knows what the AI says."""
    if not actor.may(May.SEE_CASES):
        return set()
    return who_know(connection, [row.id for row in rows], actor.account)


def _case_of(connection: Connection, image_id: str, actor: Actor) -> CaseKey:
    row = connection.execute(
        select(ImageRow.site, ImageRow.case_id).where(ImageRow.image_id == image_id)
    ).first()
    if row is None or not actor.may_see_site(row.site):
        raise NoSuchCaseError(f"no field of an image {image_id[:32]!r}")
    return case_key(row.site, row.case_id, image_id)
