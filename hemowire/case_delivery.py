"""Sends one case's report to a FHIR server for `hemowire export --to`, with a few attempts; it waits for no queue."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hemowire.case_export import CaseExportError
from hemowire.case_house import case_house

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
    from dashboard.exchange.fhir_client import FhirClient
    from dashboard.exchange.posting import FhirPost
    from dashboard.exchange.retrying import RetryRule

    server = _server(settings.fhir, url, header_file, ca_file)
    client = FhirClient(
        server.url,
        timeout_s=server.timeout_s,
        header_file=server.header_file,
        ca_file=server.ca_file,
    )
    with case_house(settings, case) as house:
        post = FhirPost(
            client,
            engine=house.engine,
            reader=house.reader,
            archive=house.archive,
            models=house.models,
            book=house.book,
            # It may stand in the page's queue, too: only a refusal ends it there.
            rule=RetryRule(server.attempts + _ATTEMPTS, server.first_wait_s, _LONGEST_WAIT_S),
            timeout_s=server.timeout_s,
            version=version or server.version,
        )
        server_id, smear_case_id = post.ask_for(house.key)
        return _until_there(lambda: post.attempt(server_id, smear_case_id, house.by), told)


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
