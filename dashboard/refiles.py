"""Keeps that a field belongs to another case than it was captured for, and who said so; nothing is ever forgotten.

A refile may come before its image, twice, or after a later one: the one with the highest number
stands. One that names another outbox than the image's is kept as a contradiction and moves nothing.
The reports stay as they were said; the image's row has the present case.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, insert, inspect, select, update

from dashboard.engine import open_engine
from dashboard.schema import ImageRow, RefileRow
from wire_protocol.json_messages import Refile


class RefileVerdict(StrEnum):
    """What became of a refile; each is answered, since each is kept."""

    APPLIED = "applied"
    #: The image is not recorded yet.
    PENDING = "pending"
    #: A later one of this image was here first.
    OVERTAKEN = "overtaken"
    AGAIN = "again"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class RefileFact:
    """One change of case: who, when, from where, to where, and whether its image is recorded."""

    site: str
    device: str
    image_id: str
    number: int
    from_case: str
    to_case: str
    operator: str
    refiled_at: str
    received_at: str
    is_conflict: bool
    is_pending: bool


def put_refile(connection: Connection, refile: Refile, at: str) -> RefileVerdict:
    """Keeps it, and moves the image where that is recorded."""
    same = select(RefileRow.id).where(RefileRow.refile_id == refile.refile_id)
    if connection.execute(same).first() is not None:
        return RefileVerdict.AGAIN
    image = connection.execute(
        select(ImageRow.outbox_id).where(ImageRow.image_id == refile.image_id)
    ).first()
    connection.execute(
        insert(RefileRow).values(
            refile_id=refile.refile_id,
            site=refile.site,
            device=refile.device,
            image_id=refile.image_id,
            outbox_id=refile.outbox_id,
            number=refile.number,
            from_case=refile.from_case,
            to_case=refile.to_case,
            operator=refile.operator,
            refiled_at=refile.refiled_at,
            received_at=at,
        )
    )
    if image is None:
        return RefileVerdict.PENDING
    if image.outbox_id != refile.outbox_id:
        return RefileVerdict.CONFLICT
    settle_cases(connection, [refile.image_id])
    newest = connection.execute(
        select(RefileRow.refile_id)
        .where(RefileRow.image_id == refile.image_id, RefileRow.outbox_id == refile.outbox_id)
        .order_by(RefileRow.number.desc(), RefileRow.id.desc())
        .limit(1)
    ).scalar_one()
    return RefileVerdict.APPLIED if newest == refile.refile_id else RefileVerdict.OVERTAKEN


def settle_cases(connection: Connection, image_ids: Collection[str]) -> None:
    """Gives these images, recorded a moment ago or before, the case of their newest refile."""
    rows = connection.execute(
        select(RefileRow.image_id, RefileRow.to_case)
        .join(
            ImageRow,
            (ImageRow.image_id == RefileRow.image_id) & (ImageRow.outbox_id == RefileRow.outbox_id),
        )
        .where(RefileRow.image_id.in_(image_ids))
        .order_by(RefileRow.number, RefileRow.id)
    )
    present = {row.image_id: row.to_case for row in rows}
    for image_id, case_id in present.items():
        connection.execute(
            update(ImageRow).where(ImageRow.image_id == image_id).values(case_id=case_id)
        )


def read_refiles(url: str) -> list[RefileFact]:
    """Every change of case of the store at `url`, in the order they came; raises StoreError."""
    query = (
        select(
            RefileRow.site,
            RefileRow.device,
            RefileRow.image_id,
            RefileRow.outbox_id,
            RefileRow.number,
            RefileRow.from_case,
            RefileRow.to_case,
            RefileRow.operator,
            RefileRow.refiled_at,
            RefileRow.received_at,
            ImageRow.outbox_id.label("recorded_outbox_id"),
        )
        .outerjoin(ImageRow, ImageRow.image_id == RefileRow.image_id)
        .order_by(RefileRow.id)
    )
    engine = open_engine(url, read_only=True)
    try:
        with engine.begin() as connection:
            if not inspect(connection).has_table(RefileRow.__tablename__):
                return []  # a store that no program of this version has opened yet
            found = connection.execute(query).all()
    finally:
        engine.dispose()
    return [
        RefileFact(
            site=row.site,
            device=row.device,
            image_id=row.image_id,
            number=row.number,
            from_case=row.from_case,
            to_case=row.to_case,
            operator=row.operator,
            refiled_at=row.refiled_at,
            received_at=row.received_at,
            is_conflict=row.recorded_outbox_id not in (None, row.outbox_id),
            is_pending=row.recorded_outbox_id is None,
        )
        for row in found
    ]
