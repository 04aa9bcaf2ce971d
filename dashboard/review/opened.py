"""A records database, its archive and its audit book, opened; what is asked of all of it: the feed and the figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DBAPIError, OperationalError

from dashboard.accounts.roles import Actor, May
from dashboard.audit.book import AuditBook
from dashboard.blobs import BlobArchive
from dashboard.cases.feed import first_change, last_change, read_changes
from dashboard.cases.keys import parse_case_key
from dashboard.cases.settings import CaseSettings
from dashboard.engine import open_engine
from dashboard.review import queries
from dashboard.review.figures import Figures, read_figures
from dashboard.review.settings import ReviewSettings
from dashboard.review.store import time_of
from dashboard.review.views import Changes, NewestField
from dashboard.schema import StoreRow
from dashboard.store import RecordsStore, StoreAway
from service_runtime.boot import wall_time

#: Changes in one answer; a reader that is further behind reloads its list.
MOST_CHANGES: Final = 1000
MOST_CASES: Final = 500


class OpenedDesk:
    """One database; calls block, a transaction each, and may come from any thread."""

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
    ) -> Self:
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

    def store_id(self) -> str:
        """Which store this is: after a restore the ids of changes mean something else."""
        with self._reader.begin() as connection:
            return str(connection.execute(select(StoreRow.store_id)).scalar_one())

    # --- the feed -------------------------------------------------------------------------------

    def last_change(self) -> int:
        """Id of the newest change; cheap, to be asked often."""
        with self._reader.begin() as connection:
            return last_change(connection)

    def newest_fields(self, keys: Sequence[str]) -> list[NewestField]:
        """The newest field with a full result of each of these cases, for the trace: it shows nothing."""
        parsed = [key for key in map(parse_case_key, keys[:MOST_CASES]) if key is not None]
        with self._reader.begin() as connection:
            return queries.newest_fields(connection, parsed)

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

    # --- parts ----------------------------------------------------------------------------------

    def _begin(self) -> Transaction:
        return Transaction(self._engine)


class Transaction:
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
