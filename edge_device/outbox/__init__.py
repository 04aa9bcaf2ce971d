"""The durable outbox of a device; see `outbox` for its rules."""

from edge_device.outbox.image_files import DamagedError
from edge_device.outbox.outbox import Outbox
from edge_device.outbox.reading import read_snapshot
from edge_device.outbox.rows import (
    NewCapture,
    OutboxRow,
    OutboxTotals,
    Refusal,
    Snapshot,
    SnapshotRow,
)
from edge_device.outbox.schema import OutboxError

__all__ = [
    "DamagedError",
    "NewCapture",
    "Outbox",
    "OutboxError",
    "OutboxRow",
    "OutboxTotals",
    "Refusal",
    "Snapshot",
    "SnapshotRow",
    "read_snapshot",
]
