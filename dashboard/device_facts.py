"""Keeps what devices last said of their outboxes and of being there; it judges nothing, `reconcile` does."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from dashboard.schema import DeviceRow, OutboxRow
from wire_protocol.json_messages import Health


@dataclass(frozen=True, slots=True)
class DevicePresence:
    """A device's retained status, or its last will."""

    site: str
    device: str
    online: bool
    reason: str


def put_health(connection: Connection, health: Health, at: str) -> None:
    """The newest word about an outbox; its highest next_seq is kept beside the latest."""
    values: dict[str, object] = {
        "site": health.site,
        "device": health.device,
        "next_seq": health.next_seq,
        "oldest_unrecorded_seq": health.oldest_unrecorded_seq,
        "counts": health.counts,
        "reported_at": at,
    }
    highest = connection.execute(
        select(OutboxRow.highest_next_seq).where(OutboxRow.outbox_id == health.outbox_id)
    ).scalar_one_or_none()
    values["highest_next_seq"] = max(health.next_seq, highest or 0)
    if highest is None:
        connection.execute(insert(OutboxRow).values(outbox_id=health.outbox_id, **values))
    else:
        connection.execute(
            update(OutboxRow).where(OutboxRow.outbox_id == health.outbox_id).values(values)
        )


def put_presence(connection: Connection, seen: DevicePresence, at: str) -> None:
    """Whether the device is there."""
    here = (DeviceRow.site == seen.site) & (DeviceRow.device == seen.device)
    values: dict[str, object] = {
        "online": seen.online, "reason": seen.reason, "changed_at": at
    }  # fmt: skip
    if not connection.execute(update(DeviceRow).where(here).values(values)).rowcount:
        connection.execute(insert(DeviceRow).values(site=seen.site, device=seen.device, **values))
