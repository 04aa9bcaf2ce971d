"""What the jobs of `hemowire export --case` have in common: the store, the archive, the audit book, the case; it writes
only the signatures that time has made."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from dashboard.accounts.roles import Actor
    from dashboard.audit.book import AuditBook
    from dashboard.blobs import BlobArchive
    from dashboard.cases.keys import CaseKey
    from dashboard.exchange.facts import ReportFacts
    from dashboard.page.settings import DashboardSettings
    from hemowire.page_models import BundleModels


@dataclass(frozen=True, slots=True)
class CaseHouse:
    """Open until the end of the block."""

    key: CaseKey
    engine: Engine
    reader: Engine
    archive: BlobArchive
    book: AuditBook
    models: BundleModels
    #: Whoever runs the command.
    by: Actor

    def facts(self) -> ReportFacts:
        """The case as it is now; raises NoSuchReportError."""
        from dashboard.exchange.read_facts import read_facts
        from service_runtime.boot import wall_time

        with self.reader.begin() as connection:
            return read_facts(connection, self.key, self.archive, wall_time())

    def audit(self, action: str, at: str, **detail: str | int) -> None:
        """Into the book, before anything leaves the house."""
        with self.engine.begin() as connection:
            self.book.write(connection, self.by, action, self.key.text, at, detail=detail)


@contextmanager
def case_house(settings: DashboardSettings, case: str) -> Iterator[CaseHouse]:
    """Raises NoSuchReportError, StoreError, ArchiveAway."""
    from dashboard.accounts.roles import at_terminal
    from dashboard.audit.book import AuditBook, load_key
    from dashboard.blobs import BlobArchive
    from dashboard.engine import open_engine
    from dashboard.exchange.read_facts import find_key
    from dashboard.review.store import settle_all
    from dashboard.store import RecordsStore
    from hemowire.page_models import BundleModels
    from service_runtime.boot import wall_time

    _require_cases(settings)
    RecordsStore(settings.database_url, wall_time(), settings.cases).close()
    book = AuditBook(load_key(settings.accounts.audit_key_file))
    archive = BlobArchive(settings.archive_url)
    engine = open_engine(settings.database_url)
    reader = open_engine(settings.database_url, read_only=True)
    try:
        with reader.begin() as connection:
            key = find_key(connection, case)
        with engine.begin() as connection:  # what time has signed by now is signed
            settle_all(connection, time.time_ns() // 1_000_000)
        models = BundleModels(settings.bundles)
        who = at_terminal(getpass.getuser())
        yield CaseHouse(key, engine, reader, archive, book, models, who)
    finally:
        reader.dispose()
        engine.dispose()
        archive.close()


def _require_cases(settings: DashboardSettings) -> None:
    """Raises StoreError where there is no records store with cases; makes none."""
    from sqlalchemy import inspect

    from dashboard.engine import StoreError, open_engine

    reader = open_engine(settings.database_url, read_only=True)
    try:
        with reader.begin() as connection:
            if not inspect(connection).has_table("smear_case"):
                raise StoreError("records database: it has no cases yet; run `hemowire records`")
    finally:
        reader.dispose()
