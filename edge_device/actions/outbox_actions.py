"""People's deeds on the outbox while the agent runs: on the writer thread, then told to the transfer; no rule is here.

Each takes its arguments checked and returns what the operator reads; `DeskError` and
`DiskGivenUpError` are for the caller to put into words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from edge_device.outbox import Outbox, OutboxRow, desk
from edge_device.outbox.limits import Excess
from edge_device.outbox.settings import OutboxSettings
from edge_device.outbox_thread import DiskGivenUpError, OutboxThread
from edge_device.owed import Owed
from edge_device.transfer import Transfer
from wire_protocol.ids import ImageId
from wire_protocol.machine_io import OutboxState
from wire_protocol.manifest import OverrideReason, Priority

#: Ages are counted in steps of the outbox's own clock, a minute each.
_AGES_S = 60.0
#: Images named in one request.
ImageIds = Annotated[tuple[ImageId, ...], Field(max_length=1000)]


class RetryArguments(BaseModel):
    """`outbox_retry`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_ids: Annotated[ImageIds, Field(min_length=1)]


class PurgeArguments(BaseModel):
    """`outbox_purge`: what the operator names, by id or by kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_ids: ImageIds = ()
    rejected: bool = False
    older_than_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class SendAnywayArguments(BaseModel):
    """`send_anyway`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_id: ImageId
    reason: OverrideReason
    priority: Priority | None = None


class OutboxActions:
    """All methods belong to the event loop's thread."""

    def __init__(self, disk: OutboxThread, transfer: Transfer, owed: Owed) -> None:
        self._disk = disk
        self._transfer = transfer
        self._owed = owed

    async def retry(self, arguments: RetryArguments, *, operator: str) -> dict[str, Any]:
        """Offers these images at once."""
        rows = await self._do(
            lambda outbox: desk.retry(outbox, arguments.image_ids, operator), self._transfer.retry
        )
        return {"retried": [row.image_id for row in rows]}

    async def purge(self, arguments: PurgeArguments, *, operator: str) -> dict[str, Any]:
        """Drops these images and lets go of kept bytes."""
        purged = await self._disk.patiently(
            lambda outbox: desk.purge(
                outbox,
                operator,
                image_ids=arguments.image_ids,
                rejected=arguments.rejected,
                older_than_s=arguments.older_than_s,
            )
        )
        for row in purged.dropped:
            self._transfer.take(row)
        for image_id in purged.freed:
            self._owed.freed(image_id)
        return {
            "dropped": [row.image_id for row in purged.dropped],
            "freed": list(purged.freed),
            "left": purged.left,
        }

    async def send_anyway(self, arguments: SendAnywayArguments, *, operator: str) -> dict[str, Any]:
        """Sends a refused image under a new id."""
        rows = await self._do(
            lambda outbox: [
                desk.send_anyway(
                    outbox,
                    arguments.image_id,
                    operator,
                    arguments.reason,
                    priority=arguments.priority,
                )
            ],
            self._transfer.take,
        )
        return {"image_id": rows[0].image_id, "copy_of": arguments.image_id}

    async def set_case(self, image_id: str, case_id: str, *, operator: str) -> OutboxRow:
        """Files an image elsewhere; one that no worker was sent yet travels with the new case."""
        rows = await self._do(
            lambda outbox: [desk.set_case(outbox, image_id, case_id, operator)], self._anew
        )
        return rows[0]

    async def restamp(self, boot_id: str, wall_minus_monotonic_s: float) -> int:
        """Gives this boot's early captures their wall time; how many there were."""
        rows = await self._do(
            partial(desk.restamp, boot_id=boot_id, wall_minus_monotonic_s=wall_minus_monotonic_s),
            self._anew,
        )
        return len(rows)

    async def make_room(self, wanted: Excess, operator: str) -> int:
        """Drops the oldest routine images by the operator's rule; how many there were."""
        in_flight = self._transfer.in_flight()
        rows = await self._do(
            lambda outbox: desk.drop_oldest(
                outbox,
                operator,
                images=wanted.images,
                size_bytes=wanted.size_bytes,
                in_flight=in_flight,
            ),
            self._transfer.take,
        )
        return len(rows)

    async def drop_aged(self, max_age_s: float, operator: str) -> int:
        """Drops routine images that waited longer than the operator's rule allows."""
        in_flight = self._transfer.in_flight()
        rows = await self._do(
            lambda outbox: desk.drop_aged(
                outbox, operator, max_age_s=max_age_s, in_flight=in_flight
            ),
            self._transfer.take,
        )
        return len(rows)

    async def changed(self, image_id: str) -> OutboxRow:
        """Another room changed this row's facts: what no worker was sent yet travels with them."""
        row = await self._disk.patiently(lambda outbox: outbox.row(image_id))
        self._anew(row)
        return row

    async def keep_ages(self, limits: OutboxSettings) -> None:
        """Drops what waited too long, by the operator's rule, for ever; nothing where there is none."""
        while limits.max_age_s:
            with suppress(DiskGivenUpError):  # the agent stops; the next start does it
                await self.drop_aged(limits.max_age_s, limits.drop_operator)
            await asyncio.sleep(_AGES_S)

    def _anew(self, row: OutboxRow) -> None:
        if row.state is OutboxState.WAITING and row.image_id not in self._transfer.in_flight():
            self._transfer.retry(row)

    async def _do(
        self,
        deed: Callable[[Outbox], list[OutboxRow]],
        tell: Callable[[OutboxRow], None],
    ) -> list[OutboxRow]:
        rows = await self._disk.patiently(deed)
        for row in rows:
            tell(row)
        return rows
