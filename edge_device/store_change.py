"""Which records store answers: another one than before may know less, and is asked about what it should have."""

from __future__ import annotations

from contextlib import suppress

from edge_device.outbox.memory import remember_store
from edge_device.outbox_thread import DiskGivenUpError, OutboxThread
from edge_device.transfer import Transfer
from service_runtime.log import get_log

#: The latest tombstones that another records store is asked about.
_TOMBSTONES = 50_000


async def ask_other_store(
    store_id: str, before: str, disk: OutboxThread, transfer: Transfer
) -> None:
    """Asks about the latest recorded images, and remembers the store; `before` is "" for the first."""
    with suppress(DiskGivenUpError):  # the next start finds the store to be another one again
        if before:
            rows = await disk.patiently(lambda outbox: outbox.recorded(_TOMBSTONES))
            get_log("edge").warning(
                "another_records_store", store_id=store_id, tombstones=len(rows)
            )
            for row in rows:
                transfer.ask_about(row)
        await disk.patiently(lambda outbox: remember_store(outbox, store_id))
