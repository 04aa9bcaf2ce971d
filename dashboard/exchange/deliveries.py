"""The queue of reports for FHIR servers: which signature a server is to hold, and holds; it sends nothing.

Who sends takes a lease, and reads the case after that: of two senders the later one has read the
newer state. `following` puts cases into the queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, select, update

from dashboard.cases.case_rows import find_cases
from dashboard.cases.keys import CaseKey, case_key
from dashboard.cases.tables import CaseRow
from dashboard.exchange.tables import FhirDeliveryRow

_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class Delivery:
    """A case's report that is to be at a server."""

    server_id: int
    smear_case_id: int
    key: CaseKey
    wanted: int
    sent: int | None
    sent_at: str
    attempts: int
    next_try_ms: int
    given_up: bool
    problem: str
    resources: tuple[str, ...]

    @property
    def is_due(self) -> bool:
        """Whether the server does not hold it yet and it is tried again."""
        return self.wanted != self.sent and not self.given_up


def due(connection: Connection, server_id: int, now_ms: int) -> list[Delivery]:
    """What is to be tried now, the longest waiting first."""
    return _read(
        connection,
        server_id,
        FhirDeliveryRow.next_try_ms <= now_ms,
        FhirDeliveryRow.leased_until_ms <= now_ms,
        *_WAITS,
        limit=_AT_ONCE,
    )


def next_try_ms(connection: Connection, server_id: int) -> int | None:
    """When something is to be tried again; None: nothing waits."""
    at = connection.execute(
        select(FhirDeliveryRow.next_try_ms, FhirDeliveryRow.leased_until_ms).where(
            FhirDeliveryRow.server_id == server_id, *_WAITS
        )
    ).all()
    return min((max(row) for row in at), default=None)


def lease(
    connection: Connection, server_id: int, smear_case_id: int, *, now_ms: int, until_ms: int
) -> Delivery | None:
    """Takes the case's report for one attempt; None while somebody else sends it."""
    taken = connection.execute(
        update(FhirDeliveryRow)
        .where(*row_of(server_id, smear_case_id), FhirDeliveryRow.leased_until_ms <= now_ms)
        .values(leased_until_ms=until_ms, attempts=FhirDeliveryRow.attempts + 1)
    )
    if taken.rowcount == 0:
        return None
    (found,) = _read(connection, server_id, FhirDeliveryRow.smear_case_id == smear_case_id)
    return found


def arrived(
    connection: Connection, delivery: Delivery, number: int, resources: list[str], at: str
) -> None:
    """The server holds that signature; one that came meanwhile is still to be sent."""
    values: dict[str, Any] = {
        "sent": number,
        "sent_at": at,
        "resources": sorted({*delivery.resources, *resources}),
        "leased_until_ms": 0,
        "problem": "",
        "given_up": False,
    }
    _settle(connection, delivery, values)
    # What was read had more signatures than what was asked for: that one is there, too.
    connection.execute(
        update(FhirDeliveryRow)
        .where(*row_of(delivery.server_id, delivery.smear_case_id), FhirDeliveryRow.wanted < number)
        .values(wanted=number)
    )


def failed(
    connection: Connection,
    delivery: Delivery,
    resources: list[str],
    problem: str,
    *,
    next_try_ms: int | None,
) -> None:
    """It is not known to be there; None: it is given up. A signature that came meanwhile is tried
    at once."""
    values: dict[str, Any] = {
        "problem": problem,
        "leased_until_ms": 0,
        # A lost answer may have been a yes: the server may hold these.
        "resources": sorted({*delivery.resources, *resources}),
    }
    _settle(connection, delivery, values)
    same = FhirDeliveryRow.wanted == delivery.wanted
    waits = {"given_up": True} if next_try_ms is None else {"next_try_ms": next_try_ms}
    connection.execute(
        update(FhirDeliveryRow)
        .where(*row_of(delivery.server_id, delivery.smear_case_id), same)
        .values(**waits)
    )


def find(connection: Connection, server_id: int, key: CaseKey) -> Delivery | None:
    """What is known of a case at a server."""
    row = find_cases(connection, [key]).get(key)
    if row is None:
        return None
    found = _read(connection, server_id, FhirDeliveryRow.smear_case_id == row.id)
    return found[0] if found else None


def deliveries_of(connection: Connection, server_id: int, *, limit: int) -> list[Delivery]:
    """The queue and what became of it, what waits first."""
    return _read(connection, server_id, limit=limit)


_WAITS = (
    FhirDeliveryRow.given_up.is_(False),
    FhirDeliveryRow.sent.is_(None) | (FhirDeliveryRow.sent != FhirDeliveryRow.wanted),
)


def row_of(server_id: int, smear_case_id: int) -> tuple[Any, Any]:
    """The condition that names one delivery."""
    return (FhirDeliveryRow.server_id == server_id, FhirDeliveryRow.smear_case_id == smear_case_id)


def _settle(connection: Connection, delivery: Delivery, values: dict[str, Any]) -> None:
    connection.execute(
        update(FhirDeliveryRow)
        .where(*row_of(delivery.server_id, delivery.smear_case_id))
        .values(**values)
    )


def _read(
    connection: Connection, server_id: int, *conditions: Any, limit: int = 1
) -> list[Delivery]:
    query = (
        select(FhirDeliveryRow.__table__, CaseRow.site, CaseRow.case_id, CaseRow.image_id)
        .join(CaseRow, CaseRow.id == FhirDeliveryRow.smear_case_id)
        .where(FhirDeliveryRow.server_id == server_id, *conditions)
        .order_by(
            (FhirDeliveryRow.sent == FhirDeliveryRow.wanted).is_(True),
            FhirDeliveryRow.next_try_ms,
            FhirDeliveryRow.smear_case_id,
        )
        .limit(limit)
    )
    return [_delivery(row) for row in connection.execute(query)]


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        server_id=row.server_id,
        smear_case_id=row.smear_case_id,
        key=case_key(row.site, row.case_id, row.image_id),
        wanted=row.wanted,
        sent=row.sent,
        sent_at=row.sent_at,
        attempts=row.attempts,
        next_try_ms=row.next_try_ms,
        given_up=row.given_up,
        problem=row.problem,
        resources=tuple(row.resources),
    )
