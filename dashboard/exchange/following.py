"""Puts signed cases into the queue for a FHIR server; whoever signs knows nothing of it.

It follows the feed of changes and moves on in the same transaction, so a signature is neither
forgotten nor queued twice, whenever the program ends.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from dashboard.cases.feed import last_change
from dashboard.exchange.deliveries import row_of
from dashboard.exchange.tables import FhirDeliveryRow, FhirServerRow
from dashboard.review.tables import ReviewEventRow


def server_of(connection: Connection, url: str) -> int:
    """The server's number, given once."""
    found = connection.execute(select(FhirServerRow.id).where(FhirServerRow.url == url)).scalar()
    if found is not None:
        return int(found)
    made = insert(FhirServerRow).values(url=url, followed_change_id=None)
    return int(connection.execute(made.returning(FhirServerRow.id)).scalar_one())


def is_up_to_date(connection: Connection, url: str) -> int | None:
    """The newest change where `follow` would queue nothing, else None: it reads alone, for the feed
    moves with every field that is recorded."""
    after = connection.execute(
        select(FhirServerRow.followed_change_id).where(FhirServerRow.url == url)
    ).scalar()
    newest = last_change(connection)
    if after is None or after > newest:
        return None
    query = select(ReviewEventRow.id).where(*_signed(after, newest)).limit(1)
    return newest if connection.execute(query).first() is None else None


def follow(connection: Connection, server_id: int) -> int:
    """Queues every case that was signed since the last call; returns how many. The first call
    begins with the signatures to come: what is old is not sent by itself."""
    mine = FhirServerRow.id == server_id
    after = connection.execute(
        select(FhirServerRow.followed_change_id).where(mine).with_for_update()
    ).scalar_one()
    newest = last_change(connection)
    if after is None or after > newest:  # a restored store may have gone back
        connection.execute(update(FhirServerRow).where(mine).values(followed_change_id=newest))
        return 0
    signed = connection.execute(
        select(ReviewEventRow.smear_case_id, func.max(ReviewEventRow.number).label("number"))
        .where(*_signed(after, newest))
        .group_by(ReviewEventRow.smear_case_id)
    ).all()
    for row in signed:
        want(connection, server_id, row.smear_case_id, row.number)
    if newest > after:
        connection.execute(update(FhirServerRow).where(mine).values(followed_change_id=newest))
    return len(signed)


def want(connection: Connection, server_id: int, smear_case_id: int, number: int) -> None:
    """That signature is to be at the server; it is tried at once."""
    mine = row_of(server_id, smear_case_id)
    fresh = {"wanted": number, "attempts": 0, "next_try_ms": 0, "given_up": False, "problem": ""}
    done = connection.execute(update(FhirDeliveryRow).where(*mine).values(**fresh))
    if done.rowcount == 0:
        names = {"server_id": server_id, "smear_case_id": smear_case_id}
        connection.execute(
            insert(FhirDeliveryRow).values(**names, **fresh, sent=None, resources=[])
        )


def _signed(after: int, upto: int) -> tuple[Any, ...]:
    return (
        ReviewEventRow.kind == "signed",
        ReviewEventRow.change_id > after,
        ReviewEventRow.change_id <= upto,
    )
