"""Gathers the facts for `reconcile` from the store and the archive; it changes nothing in either."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from dashboard.blobs import BlobArchive
from dashboard.engine import open_engine
from dashboard.identity import Verdict
from dashboard.reconcile import AsideFact, Facts, ImageFact, ManifestFact, OutboxFact
from dashboard.schema import DeviceRow, ImageRow, OutboxRow, SetAsideRow, StoreRow
from wire_protocol.machine_io import OutboxState
from wire_protocol.messages import Outcome


def gather(database_url: str, archive_url: str, silent_after_s: float, at: str) -> Facts:
    """The facts now (`at`, RFC 3339); raises StoreError and ArchiveAway.

    The store is read first, in one transaction: every blob that it relies on was there by then.
    """
    engine = open_engine(database_url, read_only=True)
    try:
        with engine.begin() as connection:
            store_id = connection.execute(select(StoreRow.store_id)).scalar_one()
            outboxes = _outboxes(connection, at)
            images = _images(connection)
            set_aside = _set_aside(connection)
    finally:
        engine.dispose()
    archive = BlobArchive(archive_url)
    try:
        manifests = tuple(
            ManifestFact(
                m.device,
                m.manifest.image_id,
                m.manifest.sha256,
                m.manifest.outbox_id,
                m.manifest.seq,
            )
            for m in archive.manifests()
        )
        blobs = frozenset(archive.blobs())
    finally:
        archive.close()
    return Facts(store_id, outboxes, images, set_aside, blobs, manifests, silent_after_s)


def _outboxes(connection: Connection, at: str) -> tuple[OutboxFact, ...]:
    online = {
        (row.site, row.device): bool(row.online)
        for row in connection.execute(select(DeviceRow.site, DeviceRow.device, DeviceRow.online))
    }
    now = datetime.fromisoformat(at)
    return tuple(
        OutboxFact(
            outbox_id=row.outbox_id,
            site=row.site,
            device=row.device,
            next_seq=row.next_seq,
            highest_next_seq=row.highest_next_seq,
            oldest_unrecorded_seq=row.oldest_unrecorded_seq,
            held=sum(n for state, n in row.counts.items() if state != OutboxState.RECORDED.value),
            age_s=max(0.0, (now - datetime.fromisoformat(row.reported_at)).total_seconds()),
            online=online.get((row.site, row.device)),
        )
        for row in connection.execute(select(*OutboxRow.__table__.columns))
    )


def _images(connection: Connection) -> tuple[ImageFact, ...]:
    columns = (
        ImageRow.device, ImageRow.image_id, ImageRow.sha256, ImageRow.outbox_id,
        ImageRow.seq, ImageRow.outcome, ImageRow.has_blob,
    )  # fmt: skip
    return tuple(
        ImageFact(device, image_id, sha256, outbox_id, seq, Outcome(outcome), has_blob)
        for device, image_id, sha256, outbox_id, seq, outcome, has_blob in connection.execute(
            select(*columns).order_by(ImageRow.outbox_id, ImageRow.seq)
        )
    )


def _set_aside(connection: Connection) -> tuple[AsideFact, ...]:
    columns = (
        SetAsideRow.verdict, SetAsideRow.device, SetAsideRow.image_id, SetAsideRow.sha256,
        SetAsideRow.outbox_id, SetAsideRow.seq, SetAsideRow.times,
    )  # fmt: skip
    return tuple(
        AsideFact(Verdict(verdict), device, image_id, sha256, outbox_id, seq, times)
        for verdict, device, image_id, sha256, outbox_id, seq, times in connection.execute(
            select(*columns).order_by(SetAsideRow.id)
        )
    )
