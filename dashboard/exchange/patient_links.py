"""One-time links to a patient's copy: made after a signature, opened once, ended by time or by the next signature.

The database keeps a link's digest. Every making and every opening is in the audit book; what is no
link of ours is not, since anybody can try one.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import OperationalError

from dashboard.accounts.roles import Actor, May
from dashboard.audit.book import AuditBook
from dashboard.blobs import BlobArchive
from dashboard.cases.case_rows import find_cases
from dashboard.cases.keys import CaseKey, case_key
from dashboard.cases.tables import CaseRow
from dashboard.engine import open_engine
from dashboard.exchange.patient_pdf import patient_pdf
from dashboard.exchange.patient_settings import PatientSettings
from dashboard.exchange.patient_words import NotSignedError, PatientCopy, patient_copy
from dashboard.exchange.read_facts import NoSuchReportError, read_facts
from dashboard.exchange.tables import PatientLinkRow
from dashboard.review.machine import Signature
from dashboard.review.store import load_review, settle_all, time_of
from dashboard.store import StoreAway
from service_runtime.boot import wall_time

_TOKEN_BYTES: Final = 32
#: Rows of links that ended are kept so long, to say why they open nothing.
_KEPT_MS: Final = 90 * 86_400_000
_ASK: Final = "Ask the person who gave it to you for a new one."


class LinkRefusedError(Exception):
    """The link opens nothing; the words are for the patient."""


@dataclass(frozen=True, slots=True)
class MadeLink:
    """A link, said once: the database does not know it."""

    token: str
    ends_at: str


@dataclass(frozen=True, slots=True)
class OpenedCopy:
    """What the link opened."""

    copy: PatientCopy
    pdf: bytes


class PatientLinks:
    """Of one database; methods block and may come from any thread."""

    def __init__(
        self,
        database_url: str,
        archive: BlobArchive,
        book: AuditBook,
        settings: PatientSettings,
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._engine = open_engine(database_url)
        self._reader = open_engine(database_url, read_only=True)
        self._archive = archive
        self._book = book
        self._settings = settings
        self._now_ms = now_ms

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()
        self._reader.dispose()

    def make_by_reader(self, key: CaseKey, by: Actor) -> MadeLink:
        """For somebody who is signed in; raises NotAllowedError, and as `make`."""
        by.require(May.EXPORT)
        if not by.may_see_site(key.site):
            raise NoSuchReportError(f"no case {key.text} in the records store")
        return self.make(key, by)

    def make(self, key: CaseKey, by: Actor) -> MadeLink:
        """A link to the copy of the case's last signature; raises NoSuchReportError,
        NotSignedError, StoreAway."""
        now_ms = self._now_ms()
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        ends_ms = now_ms + round(self._settings.link_days * 86_400_000)
        with self._begin() as connection:
            settle_all(connection, now_ms)
            row = find_cases(connection, [key]).get(key)
            if row is None:
                raise NoSuchReportError(f"no case {key.text} in the records store")
            signature = load_review(connection, row.id).signature
            if signature is None:
                raise NotSignedError(
                    f"case {key.text}: nobody has signed it; a patient's link needs a signature"
                )
            connection.execute(
                delete(PatientLinkRow).where(PatientLinkRow.ends_ms < now_ms - _KEPT_MS)
            )
            connection.execute(
                insert(PatientLinkRow).values(
                    token_hash=_digest(token),
                    smear_case_id=row.id,
                    number=signature.number,
                    ends_ms=ends_ms,
                    used_ms=None,
                )
            )
            number = signature.number
            self._write(connection, by, "export", key, now_ms=now_ms, number=number)
        return MadeLink(token, time_of(ends_ms))

    def open(self, token: str, address: str) -> OpenedCopy:
        """The copy, once; raises LinkRefusedError, StoreAway."""
        now_ms = self._now_ms()
        mine = PatientLinkRow.token_hash == _digest(token)
        with self._reader.begin() as connection:
            self._find(connection, mine)  # whoever guesses takes no lock
        with self._begin() as connection:
            row = self._find(connection, mine)
            key = case_key(row.site, row.case_id, row.image_id)
            signature = load_review(connection, row.smear_case_id).signature
            refusal = _refusal(row, signature, now_ms)
            if not refusal:
                connection.execute(update(PatientLinkRow).where(mine).values(used_ms=now_ms))
            action = "patient_link_refused" if refusal else "patient_link_opened"
            who = Actor("", None, address=address)
            self._write(connection, who, action, key, now_ms=now_ms, number=row.number)
        if refusal:
            raise LinkRefusedError(refusal)
        with self._reader.begin() as connection:
            facts = read_facts(connection, key, self._archive, wall_time())
        copy = patient_copy(facts, self._settings.contact)
        return OpenedCopy(copy, patient_pdf(copy, facts))

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        """A transaction; raises StoreAway where the database is locked or gone."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except OperationalError as error:
            raise StoreAway(str(error.orig)) from error

    def _find(self, connection: Connection, mine: Any) -> Row[Any]:
        row = connection.execute(
            select(PatientLinkRow.__table__, CaseRow.site, CaseRow.case_id, CaseRow.image_id)
            .join(CaseRow, CaseRow.id == PatientLinkRow.smear_case_id)
            .where(mine)
            .with_for_update()
        ).first()
        if row is None:
            raise LinkRefusedError("This link is not known here. Check that you have all of it.")
        return row

    def _write(
        self,
        connection: Connection,
        by: Actor,
        action: str,
        key: CaseKey,
        *,
        now_ms: int,
        number: int,
    ) -> None:
        detail: dict[str, str | int] = {"format": "patient link", "signature": number}
        self._book.write(connection, by, action, key.text, time_of(now_ms), detail=detail)


def _refusal(row: Row[Any], signature: Signature | None, now_ms: int) -> str:
    """Why it opens nothing, for the patient; "": it opens."""
    if signature is None or signature.number != row.number:
        if signature is not None and signature.placed.finding is None:
            return (
                "The lab has taken this result back. Please do not rely on an older copy. "
                "Your doctor can tell you more."
            )
        return f"The lab has changed this result since it made this link. {_ASK}"
    if row.used_ms is not None:
        return f"This link was opened before, and it opens once. {_ASK}"
    if row.ends_ms <= now_ms:
        return f"This link is too old. {_ASK}"
    return ""


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
