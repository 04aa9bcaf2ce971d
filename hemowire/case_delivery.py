"""Sends one case's report to a FHIR server for `hemowire export --to`, with a few attempts; it waits for no queue."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hemowire.case_export import CaseExportError, require_cases

if TYPE_CHECKING:
    from dashboard.exchange.codes import FhirVersion
    from dashboard.exchange.deliveries import Delivery
    from dashboard.exchange.fhir_settings import FhirSettings
    from dashboard.exchange.posting import Attempt
    from dashboard.page.settings import DashboardSettings

#: A person waits: fewer attempts, closer together, than the page's queue makes.
_ATTEMPTS: Final = 5
_LONGEST_WAIT_S: Final = 15.0


def send_case(
    settings: DashboardSettings,
    case: str,
    url: str,
    *,
    version: FhirVersion | None = None,
    header_file: Path | None = None,
    ca_file: Path | None = None,
    told: Callable[[str], None] = print,
) -> Attempt:
    """The attempt that brought it there; raises CaseExportError, NoSuchReportError, StoreError,
    ArchiveAway."""
    from dashboard.accounts.roles import at_terminal
    from dashboard.audit.book import AuditBook, load_key
    from dashboard.blobs import BlobArchive
    from dashboard.engine import open_engine
    from dashboard.exchange.fhir_client import FhirClient
    from dashboard.exchange.posting import FhirPost
    from dashboard.exchange.read_facts import find_key
    from dashboard.exchange.retrying import RetryRule
    from dashboard.review.store import settle_all
    from dashboard.store import RecordsStore
    from hemowire.page_models import BundleModels
    from service_runtime.boot import wall_time

    server = _server(settings.fhir, url, header_file, ca_file)
    require_cases(settings)
    RecordsStore(settings.database_url, wall_time(), settings.cases).close()
    book = AuditBook(load_key(settings.accounts.audit_key_file))
    archive = BlobArchive(settings.archive_url)
    engine = open_engine(settings.database_url)
    reader = open_engine(settings.database_url, read_only=True)
    try:
        with engine.begin() as connection:  # what time has signed by now is signed
            settle_all(connection, time.time_ns() // 1_000_000)
        with reader.begin() as connection:
            key = find_key(connection, case)
        post = FhirPost(
            FhirClient(
                server.url,
                timeout_s=server.timeout_s,
                header_file=server.header_file,
                ca_file=server.ca_file,
            ),
            engine=engine,
            reader=reader,
            archive=archive,
            models=BundleModels(settings.bundles),
            book=book,
            # It may stand in the page's queue, too: only a refusal ends it there.
            rule=RetryRule(server.attempts + _ATTEMPTS, server.first_wait_s, _LONGEST_WAIT_S),
            timeout_s=server.timeout_s,
            version=version or server.version,
        )
        server_id, smear_case_id = post.ask_for(key)
        who = at_terminal(getpass.getuser())
        return _until_there(lambda: post.attempt(server_id, smear_case_id, who), told)
    finally:
        reader.dispose()
        engine.dispose()
        archive.close()


def read_deliveries(settings: DashboardSettings, url: str) -> list[Delivery]:
    """What is, or is to be, at this server; raises StoreError."""
    from sqlalchemy import inspect, select

    from dashboard.engine import open_engine
    from dashboard.exchange.deliveries import deliveries_of
    from dashboard.exchange.tables import FhirServerRow

    reader = open_engine(settings.database_url, read_only=True)
    try:
        with reader.begin() as connection:
            if not inspect(connection).has_table(FhirServerRow.__tablename__):
                return []
            known = select(FhirServerRow.id).where(FhirServerRow.url == url)
            server_id = connection.execute(known).scalar()
            return [] if server_id is None else deliveries_of(connection, server_id, limit=1000)
    finally:
        reader.dispose()


def _until_there(attempt: Callable[[], Attempt | None], told: Callable[[str], None]) -> Attempt:
    number = 1
    while True:
        done = attempt()
        if done is None:
            raise CaseExportError("another program is sending this case just now: see --sent")
        if not done.problem:
            return done
        if done.wait_s is None or done.is_setup or number == _ATTEMPTS:
            raise CaseExportError(f"not sent: {done.problem}")
        told(f"attempt {number} of {_ATTEMPTS}: {done.problem}. Again in {done.wait_s:.0f} s.")
        time.sleep(done.wait_s)
        number += 1


def _server(
    known: FhirSettings, url: str, header_file: Path | None, ca_file: Path | None
) -> FhirSettings:
    """The settings' server, or another one: a password for one never goes to the other."""
    from dashboard.exchange.fhir_settings import checked_base

    try:
        base = checked_base(url)
    except ValueError as error:
        raise CaseExportError(f"--to {error}") from error
    given = {"header_file": header_file, "ca_file": ca_file}
    if base != known.url:
        apart = {"url": base, "header_file": None, "ca_file": None, "version": None}
        known = known.model_copy(update=apart)
    return known.model_copy(update={name: file for name, file in given.items() if file})
