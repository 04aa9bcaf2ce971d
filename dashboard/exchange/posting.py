"""One attempt to bring a case's report to a FHIR server: lease, read, make, post, write down; it sets no retry's time.

The case is read after the lease, so the server gets its newest state, and in a transaction of its
own: nobody waits for an archive or a network. What becomes of an attempt is written down before
anybody hears of it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine, select

from dashboard.accounts.roles import Actor
from dashboard.audit.book import AuditBook
from dashboard.blobs import BlobArchive
from dashboard.cases.case_rows import find_cases
from dashboard.cases.keys import CaseKey
from dashboard.exchange import deliveries, following
from dashboard.exchange.codes import FhirVersion
from dashboard.exchange.deliveries import Delivery
from dashboard.exchange.facts import ReportFacts
from dashboard.exchange.fhir_checks import FhirRefusedError
from dashboard.exchange.fhir_client import FhirClient, ServerAwayError, ServerRefusedError
from dashboard.exchange.forms import make_bundle
from dashboard.exchange.read_facts import NoSuchReportError, read_facts
from dashboard.exchange.retrying import RetryRule
from dashboard.exchange.tables import FhirServerRow
from dashboard.exchange.transaction import as_transaction, names_of
from dashboard.page.models import Models
from dashboard.review.store import load_review, time_of
from service_runtime.boot import wall_time

#: Two requests with all their parts, and some for the making.
_LEASE_TIMEOUTS: Final = 8.0
_LEASE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one attempt."""

    delivery: Delivery
    #: The report as it was sent; None where it did not come so far.
    facts: ReportFacts | None = None
    version: FhirVersion | None = None
    created: int = 0
    updated: int = 0
    #: "": the server holds it.
    problem: str = ""
    #: Seconds to the next attempt; None: there is none.
    wait_s: float | None = None
    #: A person has to mend something first.
    is_setup: bool = False


class FhirPost:
    """Reports for one server. Methods block and belong to one thread at a time."""

    def __init__(
        self,
        client: FhirClient,
        *,
        engine: Engine,
        reader: Engine,
        archive: BlobArchive,
        models: Models,
        book: AuditBook,
        rule: RetryRule,
        timeout_s: float,
        version: FhirVersion | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._client = client
        self._engine = engine
        self._reader = reader
        self._archive = archive
        self._models = models
        self._book = book
        self._rule = rule
        self._lease_ms = round((_LEASE_S + _LEASE_TIMEOUTS * timeout_s) * 1000)
        self._version = version
        self._now_ms = now_ms

    def ask_for(self, key: CaseKey) -> tuple[int, int]:
        """Wants the case's present state at the server; (server, case). Raises NoSuchReportError."""
        with self._engine.begin() as connection:
            server_id = following.server_of(connection, self._client.base)
            row = find_cases(connection, [key]).get(key)
            if row is None:
                raise NoSuchReportError(f"no case {key.text} in the records store")
            signature = load_review(connection, row.id).signature
            number = signature.number if signature is not None else 0
            following.want(connection, server_id, row.id, number)
        return server_id, int(row.id)

    def follow(self) -> int:
        """Queues what was signed since; returns up to which change."""
        with self._reader.begin() as connection:
            seen = following.is_up_to_date(connection, self._client.base)
        if seen is not None:
            return seen
        with self._engine.begin() as connection:
            server_id = following.server_of(connection, self._client.base)
            following.follow(connection, server_id)
            upto = select(FhirServerRow.followed_change_id).where(FhirServerRow.id == server_id)
            return int(connection.execute(upto).scalar_one() or 0)

    def due(self) -> list[Delivery]:
        """What is to be tried now."""
        with self._reader.begin() as connection:
            return deliveries.due(connection, self._server_id(connection), self._now_ms())

    def next_try_s(self) -> float | None:
        """Seconds until something is to be tried."""
        with self._reader.begin() as connection:
            at_ms = deliveries.next_try_ms(connection, self._server_id(connection))
        return None if at_ms is None else max(0.0, (at_ms - self._now_ms()) / 1000)

    def attempt(self, server_id: int, smear_case_id: int, by: Actor) -> Attempt | None:
        """One attempt; None while somebody else is at it."""
        now_ms = self._now_ms()
        with self._engine.begin() as connection:
            delivery = deliveries.lease(
                connection,
                server_id,
                smear_case_id,
                now_ms=now_ms,
                until_ms=now_ms + self._lease_ms,
            )
            if delivery is None:
                return None
            if delivery.attempts == 1:
                self._audit(connection, by, "export", delivery, {"signature": delivery.wanted})
        names: list[str] = []
        facts: ReportFacts | None = None
        version: FhirVersion | None = None
        try:
            version = self._version or self._client.version()
            with self._reader.begin() as connection:
                facts = read_facts(connection, delivery.key, self._archive, wall_time())
            bundle = make_bundle(facts, self._models, version)
            names = names_of(bundle)
            transaction = as_transaction(bundle, version, delivery.resources)
            created, updated = self._client.post(transaction)
        except ServerAwayError as error:
            wait_s = self._rule.wait_s(
                delivery.attempts, retry_after_s=error.retry_after_s, share=random.random()
            )
            failed = Attempt(
                delivery, facts, version, problem=str(error), wait_s=wait_s, is_setup=error.is_setup
            )
            return self._failed(failed, names, by)
        except (ServerRefusedError, FhirRefusedError, NoSuchReportError) as error:
            return self._failed(Attempt(delivery, facts, version, problem=str(error)), names, by)
        number = facts.signature.number if facts.signature is not None else 0
        with self._engine.begin() as connection:
            deliveries.arrived(connection, delivery, number, names, time_of(self._now_ms()))
            detail = {
                "signature": number,
                "status": facts.status.value,
                "attempts": delivery.attempts,
            }
            self._audit(connection, by, "export_arrived", delivery, detail)
        return Attempt(delivery, facts, version, created, updated)

    def _failed(self, attempt: Attempt, names: list[str], by: Actor) -> Attempt:
        delivery, wait_s = attempt.delivery, attempt.wait_s
        at_ms = None if wait_s is None else self._now_ms() + round(wait_s * 1000)
        with self._engine.begin() as connection:
            deliveries.failed(connection, delivery, names, attempt.problem, next_try_ms=at_ms)
            if at_ms is None:
                detail = {"signature": delivery.wanted, "attempts": delivery.attempts}
                self._audit(connection, by, "export_given_up", delivery, detail)
        return attempt

    def _audit(
        self,
        connection: Connection,
        by: Actor,
        action: str,
        delivery: Delivery,
        detail: Mapping[str, str | int],
    ) -> None:
        told = {"format": "fhir", "to": self._client.base, **detail}
        at = time_of(self._now_ms())
        self._book.write(connection, by, action, delivery.key.text, at, detail=told)

    def _server_id(self, connection: Connection) -> int:
        known = select(FhirServerRow.id).where(FhirServerRow.url == self._client.base)
        return int(connection.execute(known).scalar_one())
