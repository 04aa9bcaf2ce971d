"""Which records store answers: another one than before may know less, and is asked about what it should have."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from edge_device.outbox.memory import remember_store
from edge_device.outbox_thread import DiskGivenUpError, OutboxThread
from edge_device.transfer import Transfer
from service_runtime.log import get_log

#: The latest tombstones that another records store is asked about.
_TOMBSTONES = 50_000
#: Between two looks at whether all were answered, which takes from one inquiry to many minutes.
_LOOK_S = 0.5


async def ask_other_store(
    store_id: str,
    before: str,
    disk: OutboxThread,
    transfer: Transfer,
    is_current: Callable[[], bool],
) -> None:
    """Asks about the latest recorded images, and remembers the store; `before` is "" for the first.

    It is remembered when all are answered: an agent that dies before asks again after its next start.
    """
    with suppress(DiskGivenUpError):  # the next start finds the store to be another one again
        if before:
            rows = await disk.patiently(lambda outbox: outbox.recorded(_TOMBSTONES))
            get_log("edge").warning(
                "another_records_store", store_id=store_id, tombstones=len(rows)
            )
            asked = [row.image_id for row in rows]
            for row in rows:
                transfer.ask_about(row)
            # What the store did not know is written down before the store is.
            while asked or not disk.is_settled:
                if await disk.ends_within(_LOOK_S):
                    return
                asked = [image_id for image_id in asked if transfer.is_in_doubt(image_id)]
        if is_current():
            await disk.patiently(lambda outbox: remember_store(outbox, store_id))
