"""From the microscope to the disk: each capture gets its case, and is kept durably before anything is told of it.

Captures wait in a short queue between the camera and the disk; when that is full the microscope waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from edge_device.capture import Prepared
from edge_device.cases import CaseDesk
from edge_device.cases.desk import NEEDS_CASE
from edge_device.microscope import Microscope
from edge_device.outbox import OutboxRow
from edge_device.outbox_thread import DiskGivenUpError, OutboxThread
from edge_device.owed import Owed
from edge_device.transfer import Transfer
from service_runtime.log import get_log

#: Captures between the microscope and the disk.
PREPARED = 8


class Keeping:
    """Two tasks, `capture` and `keep`; `on_kept` is told of each capture that is on disk."""

    def __init__(
        self,
        device: str,
        *,
        microscope: Microscope,
        cases: CaseDesk,
        disk: OutboxThread,
        transfer: Transfer,
        owed: Owed,
        on_kept: Callable[[Prepared, OutboxRow], None],
        on_change: Callable[[], None],
    ) -> None:
        self._microscope = microscope
        self._cases = cases
        self._disk = disk
        self._transfer = transfer
        self._owed = owed
        self._on_kept = on_kept
        self._on_change = on_change
        self._prepared: asyncio.Queue[Prepared | None] = asyncio.Queue(PREPARED)
        self._has_ended = False
        self._log = get_log("edge").bind(device=device)

    @property
    def is_done(self) -> bool:
        """Whether the camera is exhausted and all of it is on disk."""
        return self._microscope.is_exhausted and self._has_ended

    async def capture(self) -> None:
        """Capture, even, gate, encode, and the case that each belongs to."""
        while (prepared := await self._microscope.next()) is not None:
            filed = await self._file(prepared)
            if filed is not None:
                self._owed.reserve(len(filed.capture.content or b""))
                await self._prepared.put(filed)
        await self._prepared.put(None)

    async def _file(self, prepared: Prepared) -> Prepared | None:
        """The capture with its case, before the next one is taken; None where it may not be kept."""
        capture = prepared.capture
        assigned = await self._cases.assign(
            taken_s=capture.captured_ns / 1e9, folder=prepared.folder, code=prepared.label
        )
        if assigned.case_id is None:
            self._log.warning("capture_without_case")
            if prepared.order is not None:
                prepared.order.fail(NEEDS_CASE)
                prepared.order.came_to_nothing()
            return None
        refusal = assigned.refusal or capture.refusal
        filed = replace(capture, case_id=assigned.case_id, refusal=refusal)
        return replace(prepared, capture=filed)

    async def keep(self) -> None:
        """Outbox, then the transfer; captures that came meanwhile are committed together."""
        while (first := await self._prepared.get()) is not None:
            batch = [first]
            while not self._prepared.empty():
                more = self._prepared.get_nowait()
                if more is None:
                    self._prepared.put_nowait(None)
                    break
                batch.append(more)
            try:
                rows = await self._disk.add([prepared.capture for prepared in batch])
            except DiskGivenUpError:  # a file is captured again at the next start
                self._log.error("stopped_with_captures_not_kept", captures=len(batch))
                for prepared in batch:
                    self._owed.release(len(prepared.capture.content or b""))
                    if prepared.order is not None:
                        prepared.order.give_up("the disk refuses and the agent stops")
                continue
            for prepared, row in zip(batch, rows, strict=True):
                self._kept(prepared, row)
            self._on_change()
        self._has_ended = True
        self._on_change()

    def _kept(self, prepared: Prepared, row: OutboxRow | None) -> None:
        """This capture is on disk, or was before."""
        order = prepared.order
        self._owed.release(len(prepared.capture.content or b""))
        if row is None:
            self._log.warning("captured_before")
            if order is not None:
                order.came_to_nothing()
                self._microscope.look()
            return
        words = "" if row.refusal is None else row.refusal.text
        self._log.info(
            "captured",
            image_id=row.image_id,
            seq=row.seq,
            size_bytes=row.size_bytes,
            refused=words,
        )
        ends_here = row.refusal is not None
        self._transfer.stamps.queued(row.image_id, prepared.stamps_ns, ends_here=ends_here)
        self._transfer.take(row)
        self._cases.counted(row)
        self._on_kept(prepared, row)
        if order is not None:
            facts = {"image_id": row.image_id, "seq": row.seq, "case_id": row.case_id}
            scores = {} if prepared.scores is None else prepared.scores.by_name()
            warned = [warning.text for warning in prepared.warnings]
            order.came_to(facts | {"refused": words, "warnings": warned, "scores": scores})
